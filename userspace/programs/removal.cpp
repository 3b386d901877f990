// SPDX-License-Identifier: Apache-2.0
#include "programs/removal.hpp"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "programs/capabilities.hpp"
#include "programs/cgroup_links.hpp"
#include "programs/generations.hpp"
#include "programs/pins.hpp"
#include "programs/probes.hpp"
#include "programs/zones.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

/// A symbolic link, told from anybody else's by its text: no other kind of file on a bpffs holds any.
constexpr auto mark = "detaching";
constexpr auto mark_text = "upstat detach has begun";

Error cannot(const char* do_what, const fs::path& path) {
    return bpf_error(errno, fmt::format("cannot {} {}", do_what, path.string()));
}

bool is_marked(const Root& root) {
    std::array<char, 64> text{};
    const auto size = ::readlinkat(root.directory.get(), mark, text.data(), text.size());
    return size >= 0 && std::string_view(text.data(), static_cast<std::size_t>(size)) == mark_text;
}

Result<void> set_mark(const Root& root) {
    if (is_marked(root) || ::symlinkat(mark_text, root.directory.get(), mark) == 0) {
        return {};
    }
    return std::unexpected(cannot("make", root.path / mark));
}

Result<void> take_mark(const Root& root) {
    if (::unlinkat(root.directory.get(), mark, 0) == 0) {
        return {};
    }
    return std::unexpected(cannot("remove", root.path / mark));
}

Fd look_into(const Fd& parent, const std::string& name) {
    return Fd(::openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
}

Result<void> remove_if_empty(int parent, const char* name, const fs::path& path, Removed& removed) {
    if (::unlinkat(parent, name, AT_REMOVEDIR) == 0) {
        removed.any = true;
    } else if (errno == ENOTEMPTY || errno == EBUSY) {  // busy: something is mounted there
        removed.left.push_back(path);
    } else {
        return std::unexpected(cannot("remove", path));
    }
    return {};
}

/// Unpins what `is_own` knows in one directory, then removes it. Nothing to do where there is no such directory.
Result<void> remove_directory(const Fd& parent, const std::string& name, const fs::path& path,
                              bool (*is_own)(const fs::path&), Removed& removed) {
    const Fd directory = look_into(parent, name);
    if (!directory) {
        return errno == ENOENT || errno == ENOTDIR ? Result<void>() : std::unexpected(cannot("look at", path));
    }
    for (const auto& pin : entries_of(path_of(directory))) {
        if (!is_own(pin)) {
            continue;
        }
        if (::unlinkat(directory.get(), pin.filename().c_str(), 0) != 0) {
            return std::unexpected(cannot("remove", path / pin.filename()));
        }
        removed.any = true;
    }
    return remove_if_empty(parent.get(), name.c_str(), path, removed);
}

void add(Removed& all, const Removed& more) {
    all.any = all.any || more.any;
    all.left.insert(all.left.end(), more.left.begin(), more.left.end());
}

/// The probes go first: they write to the generations' maps.
Result<Removed> remove_all(const Root& root) {
    Removed all;
    if (auto done = remove_directory(root.directory, probes_name, root.path / probes_name, is_own_probe, all); !done) {
        return std::unexpected(done.error());
    }
    for (const auto& name : generation_names(path_of(root.directory))) {
        const auto removed = remove_generation(root, name);
        if (!removed) {
            return removed;
        }
        add(all, *removed);
    }
    return all;
}

/// Their numbers mean nothing without the maps.
Result<void> remove_zones(const Root& root) {
    for (const auto& link : entries_of(path_of(root.directory))) {
        if (is_zone(link) && ::unlinkat(root.directory.get(), link.filename().c_str(), 0) != 0) {
            return std::unexpected(cannot("remove", root.path / link.filename()));
        }
    }
    return {};
}

Result<Removed> clear_marked(const Root& root) {
    if (auto able = check_capabilities(to_detach()); !able) {
        return std::unexpected(able.error());
    }
    if (auto marked = set_mark(root); !marked) {
        return std::unexpected(marked.error());
    }
    auto removed = remove_all(root);
    if (!removed) {
        return removed;
    }
    if (auto gone = remove_zones(root); !gone) {
        return std::unexpected(gone.error());
    }
    if (auto taken = take_mark(root); !taken) {
        return std::unexpected(taken.error());
    }
    return removed;
}

}  // namespace

Result<Removed> remove_generation(const Root& root, const std::string& name) {
    Removed removed;
    const auto path = root.path / name;
    auto done = remove_directory(look_into(root.directory, name), cgroup_links_name, cgroup_links_of(path),
                                 is_cgroup_link, removed);
    if (done) {
        done = remove_directory(root.directory, name, path, is_own_map, removed);
    }
    return done ? Result<Removed>(removed) : std::unexpected(done.error());
}

Result<Removed> clear(const Root& root) {
    auto removed =
        is_marked(root) || !generation_names(path_of(root.directory)).empty() ? clear_marked(root) : Removed();
    if (!removed) {
        return removed;
    }
    const auto done = remove_if_empty(AT_FDCWD, root.path.c_str(), root.path, *removed);
    return done ? removed : std::unexpected(done.error());
}

Result<void> finish_clear(const Root& root) {
    const auto removed = is_marked(root) ? clear_marked(root) : Removed();
    return removed ? Result<void>() : std::unexpected(removed.error());
}

}  // namespace upstat::programs
