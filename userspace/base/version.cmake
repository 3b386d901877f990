# SPDX-License-Identifier: Apache-2.0
# Writes base/version.hpp's functions: cmake -DSOURCE=DIR -DVERSION=V -DOUTPUT=FILE -P version.cmake. Runs with each
# build; the file is touched only where it changes, so that a commit recompiles no other file.
cmake_path(GET SOURCE PARENT_PATH ABOVE)
set(ENV{GIT_CEILING_DIRECTORIES} "${ABOVE}")  # an unpacked tree inside somebody else's repository has no revision
execute_process(COMMAND git -C "${SOURCE}" rev-parse --short HEAD
  OUTPUT_VARIABLE REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE STATUS)
if(NOT STATUS EQUAL 0)
  set(REVISION unknown)
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT [[
// SPDX-License-Identifier: Apache-2.0
#include "base/version.hpp"

namespace upstat {

std::string_view version() {
    return "@VERSION@";
}

std::string_view revision() {
    return "@REVISION@";
}

}  // namespace upstat
]])
