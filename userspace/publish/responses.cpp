// SPDX-License-Identifier: Apache-2.0
#include "publish/responses.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "publish/gzip.hpp"
#include "publish/views.hpp"

namespace upstat::publish {

namespace {

template <std::string (*render)(const Report&)>
bool write_view(const Page& page, const Sink& sink) {
    return sink(render(*page.report));
}

struct Route {
    std::string_view path;
    std::string_view type;
    bool (*write)(const Page&, const Sink&);
};

constexpr std::array routes{
    Route{.path = "/metrics", .type = exposition_content_type, .write = write_page},
    Route{.path = "/", .type = "text/html; charset=utf-8", .write = write_view<index_html>},
    Route{.path = "/api/v1/status", .type = "application/json", .write = write_view<status_json>},
    Route{.path = "/api/v1/alerts", .type = "application/json", .write = write_view<alerts_json>},
    Route{.path = "/api/v1/backends", .type = "application/json", .write = write_view<backends_json>},
};

using Text = std::shared_ptr<const PackedText>;

template <std::size_t (PackedText::*read)(std::uint64_t, std::span<char>) const>
ssize_t read_from(void* text, std::uint64_t at, char* to, std::size_t size) {
    const auto count = (static_cast<Text*>(text)->get()->*read)(at, std::span(to, size));
    return count == 0 ? MHD_CONTENT_READER_END_WITH_ERROR : static_cast<ssize_t>(count);
}

void release(void* text) {
    delete static_cast<Text*>(text);
}

/// A response has one block of text in memory, which all connections share that it is sent on.
Response page_response(const Text& text, std::uint64_t size, MHD_ContentReaderCallback read, std::string_view type,
                       const Headers& headers) {
    Response response(MHD_create_response_from_callback(size, PackedText::block_bytes, read, new Text(text), release));
    add_headers(response.get(), type, headers);
    MHD_add_response_header(response.get(), MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    return response;
}

Text write_packed(const Page& page, const Route& route) {
    Packer packer;
    if (!route.write(page, [&packer](std::string_view piece) { return packer.write(piece); })) {
        return nullptr;
    }
    auto text = packer.finish();
    return text ? std::make_shared<const PackedText>(std::move(*text)) : nullptr;
}

}  // namespace

void add_headers(MHD_Response* response, std::string_view type, const Headers& headers) {
    constexpr std::array<std::pair<const char*, const char*>, 6> strict{{
        {MHD_HTTP_HEADER_CONNECTION, "close"},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Content-Security-Policy",
         "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    }};
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, std::string(type).c_str());
    for (const auto& [name, value] : strict) {
        if (!headers.contains(name)) {
            MHD_add_response_header(response, name, value);
        }
    }
    for (const auto& [name, value] : headers) {
        MHD_add_response_header(response, name.c_str(), value.c_str());
    }
}

Response text_response(std::string_view text, const Headers& headers) {
    Response response(
        MHD_create_response_from_buffer(text.size(), const_cast<char*>(text.data()), MHD_RESPMEM_MUST_COPY));
    add_headers(response.get(), "text/plain; charset=utf-8", headers);
    return response;
}

bool Responses::has(std::string_view path) {
    return std::ranges::find(routes, path, &Route::path) != routes.end();
}

MHD_Response* Responses::get(const Page& page, std::uint64_t edition, std::string_view path, bool packed,
                             const Headers& headers) {
    if (std::exchange(edition_, edition) != edition || headers_ != headers) {
        headers_ = headers;
        made_.clear();
    }
    auto made = made_.find(path);
    if (made == made_.end()) {
        const auto& route = *std::ranges::find(routes, path, &Route::path);
        const auto text = write_packed(page, route);
        if (text == nullptr) {
            return nullptr;
        }
        Pair pair{.plain = page_response(text, text->size(), read_from<&PackedText::read>, route.type, headers),
                  .packed = page_response(text, text->packed_size(), read_from<&PackedText::read_packed>, route.type,
                                          headers)};
        MHD_add_response_header(pair.packed.get(), MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
        made = made_.emplace(path, std::move(pair)).first;
    }
    return (packed ? made->second.packed : made->second.plain).get();
}

}  // namespace upstat::publish
