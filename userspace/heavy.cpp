// SPDX-License-Identifier: Apache-2.0
// Nothing: the precompiled headers (CMakeLists.txt) need a source to be made for.
