// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace upstat::cli {

/// Reads the command line, runs the command that it names and returns the program's exit code.
int run_command_line(int argc, char** argv);

}  // namespace upstat::cli
