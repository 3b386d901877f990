// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace upstat {

/// A map in one piece of memory, in the order of its keys, for entries that are walked over much more often than new
/// ones come (std::flat_map is C++23, but not in this compiler's library). What inserts or erases moves the others.
template <typename Key, typename Value>
class FlatMap {
  public:
    using key_type = Key;
    using mapped_type = Value;
    using value_type = std::pair<Key, Value>;
    using Entries = std::vector<value_type>;
    using iterator = typename Entries::iterator;
    using const_iterator = typename Entries::const_iterator;

    FlatMap() = default;
    FlatMap(std::initializer_list<value_type> entries) {
        for (const auto& [key, value] : entries) {
            try_emplace(key, value);
        }
    }

    /// Of entries whose keys ascend.
    template <std::input_iterator Iterator>
    FlatMap(Iterator first, Iterator last) : entries_(first, last) {}

    [[nodiscard]] iterator begin() { return entries_.begin(); }
    [[nodiscard]] iterator end() { return entries_.end(); }
    [[nodiscard]] const_iterator begin() const { return entries_.begin(); }
    [[nodiscard]] const_iterator end() const { return entries_.end(); }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    [[nodiscard]] bool empty() const { return entries_.empty(); }
    void reserve(std::size_t size) { entries_.reserve(size); }
    void clear() { entries_.clear(); }

    [[nodiscard]] iterator find(const Key& key) {
        const auto place = place_of(entries_, key);
        return is_at(place, key) ? place : entries_.end();
    }
    [[nodiscard]] const_iterator find(const Key& key) const {
        const auto place = place_of(entries_, key);
        return is_at(place, key) ? place : entries_.end();
    }
    [[nodiscard]] bool contains(const Key& key) const { return find(key) != entries_.end(); }
    [[nodiscard]] const Value& at(const Key& key) const {
        const auto found = find(key);
        return found != entries_.end() ? found->second : throw std::out_of_range("no such key");
    }
    Value& operator[](const Key& key) { return try_emplace(key).first->second; }

    template <typename... From>
    std::pair<iterator, bool> try_emplace(const Key& key, From&&... from) {
        const auto place = place_of(entries_, key);
        if (is_at(place, key)) {
            return {place, false};
        }
        return {entries_.emplace(place, std::piecewise_construct, std::forward_as_tuple(key),
                                 std::forward_as_tuple(std::forward<From>(from)...)),
                true};
    }

    void erase(const_iterator place) { entries_.erase(place); }

    /// Has every one of these keys afterwards, which ascend: in one pass, where each alone would move all behind it.
    void insert_missing(const auto& keys) {
        std::vector<Key> missing;
        std::ranges::set_difference(keys, std::views::keys(entries_), std::back_inserter(missing));
        if (missing.empty()) {
            return;
        }
        Entries added;
        added.reserve(missing.size());
        for (const auto& key : missing) {
            added.emplace_back(std::piecewise_construct, std::forward_as_tuple(key), std::forward_as_tuple());
        }
        Entries all;
        all.reserve(entries_.size() + added.size());
        std::merge(std::make_move_iterator(entries_.begin()), std::make_move_iterator(entries_.end()),
                   std::make_move_iterator(added.begin()), std::make_move_iterator(added.end()),
                   std::back_inserter(all), [](const auto& one, const auto& two) { return one.first < two.first; });
        entries_ = std::move(all);
    }

    /// Inserts where the caller knows that the key belongs.
    iterator emplace_hint(const_iterator place, const Key& key, Value value) {
        return entries_.emplace(place, key, std::move(value));
    }

    bool operator==(const FlatMap&) const = default;

    friend std::size_t erase_if(FlatMap& map, auto is_to_go) { return std::erase_if(map.entries_, is_to_go); }

  private:
    /// Where the key is or belongs. The newest key is often the greatest.
    static auto place_of(auto& entries, const Key& key) {
        return entries.empty() || entries.back().first < key
                   ? entries.end()
                   : std::ranges::lower_bound(entries, key, {}, &value_type::first);
    }
    [[nodiscard]] bool is_at(const_iterator place, const Key& key) const {
        return place != entries_.end() && place->first == key;
    }

    Entries entries_;
};

/// Looks keys up that ascend from one call to the next: one walk over a sorted map instead of a search for each.
template <typename Map>
class Ascending {
  public:
    explicit Ascending(Map& map) : map_(&map), at_(map.begin()) {}

    /// The value; null where there is none.
    auto find(const typename Map::key_type& key) {
        for (; at_ != map_->end(); ++at_) {
            if (const auto order = at_->first <=> key; order >= 0) {
                return order == 0 ? &at_->second : nullptr;
            }
        }
        return decltype(&at_->second)(nullptr);
    }
    auto& operator[](const typename Map::key_type& key) {
        if (auto* const found = find(key)) {
            return *found;
        }
        at_ = map_->emplace_hint(at_, key, typename Map::mapped_type{});
        return at_->second;
    }

  private:
    Map* map_;
    decltype(std::declval<Map&>().begin()) at_;
};

}  // namespace upstat
