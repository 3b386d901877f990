// SPDX-License-Identifier: Apache-2.0
#include "symbols/line_table.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "base/regular_file.hpp"

namespace upstat::symbols {

namespace {

constexpr std::uint64_t max_table = std::uint64_t{128} << 20;  ///< Traefik's has 62 MB
constexpr std::uint64_t max_data = std::uint64_t{64} << 20;    ///< what is searched for the module's description
constexpr std::size_t window_size = std::size_t{1} << 20;
constexpr std::uint32_t magic = 0xfffffff1;  ///< Go 1.20 to 1.26
constexpr std::size_t header_size = 72;
constexpr std::size_t entry_size = 8;
constexpr std::uint64_t no_name = ~std::uint64_t{0};

/// The words of Go's runtime.moduledata that are looked at.
constexpr std::size_t module_header = 0;
constexpr std::size_t module_names = 1;
constexpr std::size_t module_table = 16;
constexpr std::size_t module_text = 22;
constexpr std::size_t module_words = 23;

template <typename T>
std::optional<T> number(std::string_view bytes, std::size_t at) {
    T value{};
    if (at > bytes.size() || bytes.size() - at < sizeof value) {
        return std::nullopt;
    }
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

/// What is read in order is read in large pieces. Who makes it jump to and fro sees it end: nobody wants a file of some
/// MB read for hours.
class Window {
  public:
    Window(const Fd& file, std::uint64_t begin, std::uint64_t size)
        : file_(&file), begin_(begin), size_(size), patience_(2 * (size / window_size) + 16) {}

    /// `size` bytes; fewer where they end.
    std::string_view at(std::uint64_t offset, std::size_t size) {
        if (offset < from_ || offset + size > from_ + bytes_.size()) {
            from_ = offset;
            const auto left = offset < size_ && patience_ != 0 ? size_ - offset : 0;
            patience_ -= std::min<std::uint64_t>(patience_, 1);
            bytes_ =
                read_at(*file_, begin_ + offset, static_cast<std::size_t>(std::min<std::uint64_t>(left, window_size)));
        }
        const auto start = std::min<std::uint64_t>(offset - from_, bytes_.size());
        return std::string_view(bytes_).substr(static_cast<std::size_t>(start), size);
    }

  private:
    const Fd* file_;
    std::uint64_t begin_;
    std::uint64_t size_;
    std::uint64_t patience_;  ///< how many more pieces are read
    std::uint64_t from_ = 0;
    std::string bytes_;
};

}  // namespace

LineTable::LineTable(const Fd& file, const ElfFile& elf) : file_(&file) {
    const auto* const section = elf.section(".gopclntab");
    if (section == nullptr) {
        problem_ = "it has no table of Go's functions (.gopclntab): it is packed, or no Go program";
        return;
    }
    section_ = *section;
    problem_ = section_.size > max_table ? "its table of functions has more than 128 MB" : read_header();
    if (problem_.empty()) {
        problem_ = find_text(elf);
    }
}

std::string LineTable::piece(std::uint64_t offset, std::size_t size) const {
    return offset > section_.size
               ? std::string()
               : read_at(*file_, section_.offset + offset, std::min<std::uint64_t>(size, section_.size - offset));
}

std::string LineTable::read_header() {
    constexpr std::size_t functions_at = 8;
    constexpr std::size_t names_at = 32;
    constexpr std::size_t names_end_at = 40;
    constexpr std::size_t table_at = 64;
    constexpr std::size_t pointer_size_at = 7;
    const auto bytes = piece(0, header_size);
    if (bytes.size() < header_size) {
        return "its table of functions is cut off";
    }
    if (number<std::uint32_t>(bytes, 0) != magic || bytes[pointer_size_at] != sizeof(std::uint64_t)) {
        return "its table of functions is of a form that upstat does not know";
    }
    header_ = {.functions = *number<std::uint64_t>(bytes, functions_at),
               .names = *number<std::uint64_t>(bytes, names_at),
               .names_end = *number<std::uint64_t>(bytes, names_end_at),
               .table = *number<std::uint64_t>(bytes, table_at)};
    const auto room = header_.table < section_.size ? (section_.size - header_.table) / entry_size : 0;
    if (header_.names >= header_.names_end || header_.names_end > section_.size || header_.functions > room) {
        return "its table of functions contradicts itself";
    }
    return {};
}

/// Functions are told from the module's text on. The table's header says where that is in Go 1.25 and earlier only; the
/// module's description always does. It begins with the addresses of this table and of its pieces.
std::string LineTable::find_text(const ElfFile& elf) {
    auto left = max_data;
    for (const auto& section : elf.sections) {
        if (section.writable && section.size <= left && text_ == 0) {
            text_ = text_in(section);
            left -= section.size;
        }
    }
    return text_ == 0 ? "the description of its Go module cannot be found" : std::string();
}

std::uint64_t LineTable::text_in(const Section& section) const {
    Window window(*file_, section.offset, section.size);
    constexpr auto size = module_words * sizeof(std::uint64_t);
    for (std::uint64_t at = 0; at + size <= section.size; at += sizeof(std::uint64_t)) {
        const auto bytes = window.at(at, size);
        const auto word = [&bytes](std::size_t i) {
            return number<std::uint64_t>(bytes, i * sizeof(std::uint64_t)).value_or(0);
        };
        if (bytes.size() < size) {
            return 0;  // the file ends before its section does
        }
        if (word(module_header) == section_.address && word(module_names) == section_.address + header_.names &&
            word(module_table) == section_.address + header_.table) {
            return word(module_text);
        }
    }
    return 0;
}

/// Where a name begins among the names; `no_name` where it is not there.
std::uint64_t LineTable::find_name(std::string_view function) const {
    const auto whole = '\0' + std::string(function) + '\0';
    const auto size = header_.names_end - header_.names;
    // The first name has no zero byte before it. Go's first one is empty.
    for (std::uint64_t at = 0; at + whole.size() <= size; at += window_size) {
        const auto bytes =
            piece(header_.names + at, std::min<std::uint64_t>(window_size + whole.size() - 1, size - at));
        if (const auto found = bytes.find(whole); found != std::string::npos) {
            return at + found + 1;
        }
    }
    return no_name;
}

std::uint64_t LineTable::address_of(std::string_view function) const {
    constexpr std::size_t description_at = 4;
    constexpr std::size_t name_at = 4;
    constexpr std::size_t description_size = 8;
    const auto name = problem_.empty() ? find_name(function) : no_name;
    if (name == no_name) {
        return 0;
    }
    Window entries(*file_, section_.offset, section_.size);
    Window descriptions(*file_, section_.offset, section_.size);
    for (std::uint64_t i = 0; i < header_.functions; i++) {
        const auto entry = entries.at(header_.table + i * entry_size, entry_size);
        const auto where = number<std::uint32_t>(entry, description_at);
        const auto description = where ? descriptions.at(header_.table + *where, description_size) : std::string_view();
        if (const auto named = number<std::uint32_t>(description, name_at); !named) {
            return 0;
        } else if (*named == name) {
            return text_ + *number<std::uint32_t>(entry, 0);
        }
    }
    return 0;
}

}  // namespace upstat::symbols
