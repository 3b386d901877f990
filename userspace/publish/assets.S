/* SPDX-License-Identifier: Apache-2.0 */
/* The web page's files in the binary: g++ 12 has no #embed. */
#include "publish/page_files.h"

#define ASSET(symbol, file, path, type)                                                                                \
    .global symbol##_begin;                                                                                            \
    .global symbol##_end;                                                                                              \
    symbol##_begin:                                                                                                    \
    .incbin file;                                                                                                      \
    symbol##_end:                                                                                                      \
    .byte 0;

    .section .rodata
    UPSTAT_PAGE_FILES(ASSET)
    .section .note.GNU-stack,"",%progbits
