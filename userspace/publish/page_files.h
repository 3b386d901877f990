/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the web page, once: assets.S puts them into the binary, assets.cpp says where they are.
 * X(symbol, file, path that it is served at, type) */
#ifndef UPSTAT_PAGE_FILES_H
#define UPSTAT_PAGE_FILES_H

#define UPSTAT_PAGE_FILES(X)                                                                   \
    X(page_index, "index.html", "/", "text/html; charset=utf-8")                               \
    X(page_style, "page.css", "/page.css", "text/css; charset=utf-8")                          \
    X(page_page, "page.js", "/page.js", "text/javascript; charset=utf-8")                      \
    X(page_dom, "dom.js", "/dom.js", "text/javascript; charset=utf-8")                         \
    X(page_charts, "charts.js", "/charts.js", "text/javascript; charset=utf-8")                \
    X(page_overview, "overview.js", "/overview.js", "text/javascript; charset=utf-8")          \
    X(page_backend, "backend.js", "/backend.js", "text/javascript; charset=utf-8")             \
    X(page_connections, "connections.js", "/connections.js", "text/javascript; charset=utf-8") \
    X(page_alerts, "alerts.js", "/alerts.js", "text/javascript; charset=utf-8")                \
    X(page_status, "status.js", "/status.js", "text/javascript; charset=utf-8")                \
    X(page_data, "data.js", "/data.js", "text/javascript; charset=utf-8")                      \
    X(page_chart, "chart.min.js", "/chart.js", "text/javascript; charset=utf-8")

#endif
