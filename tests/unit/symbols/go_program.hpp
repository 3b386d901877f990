// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace upstat::symbols {

/// A stripped Go program that consists of what is looked at, and of nothing else.
struct GoProgram {
    std::string function = "net/http/httputil.(*ReverseProxy).modifyResponse";
    bool only_inlined = false;  ///< its name is there, but no function has it
    std::string code = std::string("\x49\x3b\x66\x10\x0f\x86\0\x02\0\0\x55\x48\x89\xe5", 14);
    std::string go = "go1.26.9";  ///< empty: no build information
    std::uint64_t header_text = 0;
    std::uint32_t magic = 0xfffffff1;
    std::uint64_t functions = 3;
    std::uint64_t module_table = 0;  ///< added to the address that the module has for the table
    std::string table_section = ".gopclntab";
    std::uint16_t type = ET_EXEC;
    std::uint16_t machine = EM_X86_64;
};

constexpr std::uint64_t base_address = 0x400000;
constexpr std::uint64_t code_at = 0x1000 + 0x40;  ///< of the function, in the file
constexpr std::size_t headers_at_end = 5 * sizeof(Elf64_Shdr);

template <typename T>
void append(std::string& to, T value) {
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// .gopclntab with three functions, of which `function` is the last.
inline std::string line_table(const GoProgram& program) {
    const std::vector<std::string> names{"", "runtime.main", program.function, "inlined"};
    std::string text;
    std::vector<std::uint32_t> at;
    for (const auto& name : names) {
        at.push_back(static_cast<std::uint32_t>(text.size()));
        text += name + '\0';
    }
    const std::uint64_t names_at = 72;
    const std::uint64_t table_at = names_at + text.size();
    std::string bytes;
    append(bytes, program.magic);
    append(bytes, std::uint32_t{0x08010000});
    for (const std::uint64_t word :
         {program.functions, std::uint64_t{1}, program.header_text, names_at, table_at, table_at, table_at, table_at}) {
        append(bytes, word);
    }
    bytes += text;
    const std::uint32_t descriptions = 3 * 8 + 4;
    for (std::uint32_t i = 0; i < 3; i++) {
        append(bytes, i * 0x20);
        append(bytes, descriptions + i * 8);
    }
    append(bytes, std::uint32_t{0x60});
    const std::vector<std::uint32_t> named{at[0], at[1], program.only_inlined ? at[3] : at[2]};
    for (std::uint32_t i = 0; i < 3; i++) {
        append(bytes, i * 0x20);
        append(bytes, named[i]);
    }
    return bytes;
}

inline std::string go_build_info(const std::string& go) {
    const auto sized = [](const std::string& text) { return static_cast<char>(text.size()) + text; };
    return go.empty() ? std::string()
                      : std::string("\xff Go buildinf:\x08\x02", 16) + std::string(16, '\0') + sized(go);
}

/// runtime.moduledata: the addresses of the table and its pieces, and of the text as word 22.
inline std::string module_data(const GoProgram& program, std::uint64_t table, const std::string& bytes) {
    std::vector<std::uint64_t> words(30, 0);
    std::uint64_t names = 0;
    std::uint64_t functions = 0;
    std::memcpy(&names, bytes.data() + 32, sizeof names);
    std::memcpy(&functions, bytes.data() + 64, sizeof functions);
    words[0] = table;
    words[1] = table + names;
    words[16] = table + functions + program.module_table;
    words[22] = base_address + 0x1000;
    std::string module(64, '\0');
    for (const auto word : words) {
        append(module, word);
    }
    return module;
}

inline std::string go_program(const GoProgram& program) {
    struct Piece {
        std::string name;
        std::string bytes;
        std::uint64_t flags = 0;
        std::uint64_t at = 0;
    };
    std::string file(0x1000, '\0');
    std::vector<Piece> pieces;
    const auto add = [&](std::string name, std::string bytes, std::uint64_t flags) {
        pieces.push_back({.name = std::move(name), .bytes = bytes, .flags = flags, .at = file.size()});
        file += bytes;
        file.resize((file.size() + 15) / 16 * 16);
        return pieces.back().at;
    };
    add(".text", std::string(0x40, '\xcc') + program.code + std::string(0x40, '\xcc'), SHF_ALLOC | SHF_EXECINSTR);
    const auto table = line_table(program);
    const auto table_at = add(program.table_section, table, SHF_ALLOC);
    add(".go.buildinfo", go_build_info(program.go), SHF_ALLOC | SHF_WRITE);
    add(".go.module", module_data(program, base_address + table_at, table), SHF_ALLOC | SHF_WRITE);
    std::string names(1, '\0');
    std::vector<Elf64_Shdr> sections(1);
    for (const auto& piece : pieces) {
        Elf64_Shdr section{};
        section.sh_name = static_cast<Elf64_Word>(names.size());
        section.sh_type = SHT_PROGBITS;
        section.sh_flags = piece.flags;
        section.sh_addr = base_address + piece.at;
        section.sh_offset = piece.at;
        section.sh_size = piece.bytes.size();
        sections.push_back(section);
        names += piece.name + '\0';
    }
    Elf64_Shdr strings{};
    strings.sh_name = static_cast<Elf64_Word>(names.size());
    names += std::string(".shstrtab") + '\0';
    strings.sh_type = SHT_STRTAB;
    strings.sh_offset = file.size();
    strings.sh_size = names.size();
    sections.push_back(strings);
    file += names;
    file.resize((file.size() + 15) / 16 * 16);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = program.type;
    header.e_machine = program.machine;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof header;
    header.e_shoff = file.size();
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<Elf64_Half>(sections.size());
    header.e_shstrndx = static_cast<Elf64_Half>(sections.size() - 1);
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | PF_X;
    load.p_vaddr = base_address;
    load.p_filesz = file.size();
    load.p_memsz = file.size();
    std::memcpy(file.data(), &header, sizeof header);
    std::memcpy(file.data() + sizeof header, &load, sizeof load);
    file.append(reinterpret_cast<const char*>(sections.data()), sections.size() * sizeof(Elf64_Shdr));
    return file;
}

}  // namespace upstat::symbols
