// SPDX-License-Identifier: Apache-2.0
#include "programs/capabilities.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

namespace upstat::programs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t bit(unsigned capability) {
    return std::uint64_t{1} << capability;
}

constexpr auto enough = bit(CAP_BPF) | bit(CAP_PERFMON) | bit(CAP_NET_ADMIN);

TEST(Capabilities, EachOneThatIsMissingIsNamed) {
    EXPECT_THAT(missing(to_count(), enough), IsEmpty());
    EXPECT_THAT(missing(to_count(), enough & ~bit(CAP_BPF)), ElementsAre("CAP_BPF"));
    EXPECT_THAT(missing(to_count(), enough & ~bit(CAP_PERFMON)), ElementsAre("CAP_PERFMON"));
    EXPECT_THAT(missing(to_count(), enough & ~bit(CAP_NET_ADMIN)), ElementsAre("CAP_NET_ADMIN"));
    EXPECT_THAT(missing(to_count(), ~enough & ~bit(CAP_SYS_ADMIN)),
                ElementsAre("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"));
}

TEST(Capabilities, SysAdminIncludesThem) {
    EXPECT_THAT(missing(to_count(), bit(CAP_SYS_ADMIN)), IsEmpty());
}

TEST(Capabilities, DetachNeedsBpfOnly) {
    EXPECT_THAT(missing(to_detach(), bit(CAP_BPF)), IsEmpty());
    EXPECT_THAT(missing(to_detach(), 0), ElementsAre("CAP_BPF"));
}

}  // namespace
}  // namespace upstat::programs
