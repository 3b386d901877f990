// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace upstat {

/// The JSON text of a value. A backend's name in a file of the user's may be no UTF-8, which is no reason to lose all
/// the others: what is none is replaced.
std::string json_text(const nlohmann::json& value, int indent = -1);

/// The value of a JSON text; throws nlohmann::json::parse_error.
nlohmann::json parse_json(std::string_view text);

/// A map by names as a JSON object.
nlohmann::json json_object(const auto& by_name) {
    auto object = nlohmann::json::object();
    for (const auto& [name, value] : by_name) {
        object[name] = value;
    }
    return object;
}

/// A JSON object that is written member by member, for big ones, whose tree would be many times their text. Ends with
/// its scope.
class JsonObject {
  public:
    explicit JsonObject(std::string& text) : text_(&text) { text += '{'; }
    JsonObject(const JsonObject&) = delete;
    JsonObject& operator=(const JsonObject&) = delete;
    ~JsonObject() { *text_ += '}'; }

    void add(std::string_view name, const nlohmann::json& value) { member(name) += json_text(value); }

    /// Begins a member; its value is to be appended to what this returns.
    std::string& member(std::string_view name) {
        if (text_->back() != '{') {
            *text_ += ',';
        }
        text_->append(json_text(name)).append(":");
        return *text_;
    }

  private:
    std::string* text_;
};

}  // namespace upstat
