// SPDX-License-Identifier: Apache-2.0
#include "programs/shape.hpp"

#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace upstat::programs {
namespace {

/// A struct as a program's BTF describes it: a lock inside, an array, numbers.
class Described {
  public:
    struct Variant {
        std::string name = "stage";
        std::uint32_t offset = 40;
        std::uint32_t window = 32;
        std::size_t width = 1;
        std::uint32_t size = 48;
        bool padded_types = false;  ///< numbers of types differ, which means nothing
    };

    explicit Described(const Variant& variant) {
        if (variant.padded_types) {
            btf__add_int(types_.get(), "long", 8, 0);
        }
        const int word = btf__add_int(types_.get(), "unsigned int", 4, 0);
        const int byte = btf__add_int(types_.get(), "unsigned char", variant.width, 0);
        const int alias = btf__add_typedef(types_.get(), "__u8", byte);
        const int window = btf__add_array(types_.get(), word, alias, variant.window);
        const int lock = btf__add_struct(types_.get(), "bpf_spin_lock", 4);
        btf__add_field(types_.get(), "val", word, 0, 0);
        type_ = btf__add_struct(types_.get(), "socket_state", variant.size);
        btf__add_field(types_.get(), "lock", lock, 0, 0);
        btf__add_field(types_.get(), "answer", word, 32, 0);
        btf__add_field(types_.get(), "window", window, 64, 0);
        btf__add_field(types_.get(), variant.name.c_str(), alias, variant.offset * 8, 0);
    }

    [[nodiscard]] bool same_as(const Described& other) const {
        return same_type(types_.get(), static_cast<std::uint32_t>(type_), other.types_.get(),
                         static_cast<std::uint32_t>(other.type_));
    }

  private:
    struct Free {
        void operator()(btf* types) const { btf__free(types); }
    };
    std::unique_ptr<btf, Free> types_{btf__new_empty()};
    int type_ = 0;
};

TEST(SameType, IsWhatHoldsTheSameInMemory) {
    EXPECT_TRUE(Described({}).same_as(Described({})));
    EXPECT_TRUE(Described({}).same_as(Described({.padded_types = true})));
}

TEST(SameType, EveryDifferenceCounts) {
    EXPECT_FALSE(Described({}).same_as(Described({.name = "flags"})));
    EXPECT_FALSE(Described({}).same_as(Described({.offset = 41})));
    EXPECT_FALSE(Described({}).same_as(Described({.window = 31})));
    EXPECT_FALSE(Described({}).same_as(Described({.width = 2})));
    EXPECT_FALSE(Described({}).same_as(Described({.size = 56})));
}

TEST(SameType, NothingIsTheSameAsNothingOnly) {
    const std::unique_ptr<btf, decltype(&btf__free)> types(btf__new_empty(), btf__free);
    const auto number = static_cast<std::uint32_t>(btf__add_int(types.get(), "int", 4, BTF_INT_SIGNED));
    EXPECT_TRUE(same_type(types.get(), 0, types.get(), 0));
    EXPECT_FALSE(same_type(types.get(), number, types.get(), 0));
}

}  // namespace
}  // namespace upstat::programs
