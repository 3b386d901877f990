// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace upstat::traefik {

constexpr std::size_t deepest_json = 64;

/// What is wrong with a response, on its way out to the functions that the header names; it leaves none of them.
struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

inline std::string name_of(Kind kind) {
    constexpr std::array names{"null", "boolean", "number", "string", "array", "object"};
    return names.at(static_cast<std::size_t>(kind));
}

/// Reads JSON as a stream of its values, so that a response costs the memory of what is kept of it and the time of its
/// length. A `Places` says what a place in the document is by the place that it is in and its key, which kind of value
/// must be there (or null), and takes the strings.
template <typename Places>
class Reader : public nlohmann::json_sax<nlohmann::json> {
  public:
    using Place = typename Places::Place;

    explicit Reader(Places& places) : places_(&places) {}

    bool null() override { return scalar(Kind::null, {}); }
    bool boolean(bool value) override { return scalar(Kind::boolean, value ? "true" : "false"); }
    bool number_integer(number_integer_t value) override { return scalar(Kind::number, std::to_string(value)); }
    bool number_unsigned(number_unsigned_t value) override { return scalar(Kind::number, std::to_string(value)); }
    bool number_float(number_float_t, const string_t&) override { return scalar(Kind::number, {}); }
    bool string(string_t& text) override { return scalar(Kind::string, text); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return enter(Kind::object); }
    bool start_array(std::size_t) override { return enter(Kind::array); }
    bool key(string_t& key) override {
        key_ = std::move(key);
        return true;
    }
    bool end_object() override { return leave(); }
    bool end_array() override { return leave(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  private:
    [[nodiscard]] Place child() const {
        return within_.empty() ? places_->whole() : places_->inside(within_.back(), key_);
    }

    void check(Place place, Kind kind) const {
        if (const auto wanted = places_->kind_of(place); wanted && *wanted != kind) {
            throw Wrong(fmt::format("is not Traefik's: {} is {}, not {} {}", places_->described(place, key_),
                                    name_of(kind), *wanted == Kind::string ? "a" : "an", name_of(*wanted)));
        }
    }
    bool scalar(Kind kind, const std::string& text) {
        const auto place = child();
        if (kind != Kind::null || !places_->may_be_null(place)) {
            check(place, kind);
            places_->take(place, key_, text);
        }
        return true;
    }
    bool enter(Kind kind) {
        const auto place = child();
        check(place, kind);
        if (within_.size() >= deepest_json) {  // "[[[[..."
            throw Wrong(fmt::format("is nested deeper than {} levels", deepest_json));
        }
        within_.push_back(place);
        places_->enter(place, key_);
        return true;
    }
    bool leave() {
        places_->leave(within_.back());
        within_.pop_back();
        return true;
    }

    Places* places_;
    std::string key_;
    std::vector<Place> within_;
};

/// Foreign bytes are neither shown nor logged: they may be a secret of whoever answered instead of Traefik.
template <typename Places>
void read_into(Places& places, std::string_view body, std::size_t longest) {
    if (body.size() > longest) {
        throw Wrong(fmt::format("is longer than {} KB", longest >> 10));
    }
    if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
        throw Wrong("is empty");
    }
    Reader<Places> reader(places);
    if (!nlohmann::json::sax_parse(body, &reader)) {
        throw Wrong("is not JSON");
    }
}

}  // namespace upstat::traefik
