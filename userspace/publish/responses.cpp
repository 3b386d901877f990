// SPDX-License-Identifier: Apache-2.0
#include "publish/responses.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>

#include "publish/assets.hpp"
#include "publish/explain_views.hpp"
#include "publish/gzip.hpp"
#include "publish/history_views.hpp"
#include "publish/samples_view.hpp"
#include "publish/sockets_view.hpp"
#include "publish/views.hpp"

namespace upstat::publish {

namespace {

constexpr std::size_t most_for_query = 32;

template <std::string (*render)(const Report&)>
bool write_view(const Page& page, const Query& /*query*/, const Sink& sink) {
    return sink(render(*page.report));
}

template <std::optional<std::string> (*render)(const Report&, const Query&)>
bool write_found(const Page& page, const Query& query, const Sink& sink) {
    const auto text = render(*page.report, query);
    return text && sink(*text);
}

bool write_metrics(const Page& page, const Query& /*query*/, const Sink& sink) {
    return write_page(page, sink);
}

/// What a path shows: a view that is written, or a text that stays as it is.
struct Route {
    std::string_view path;
    std::string_view type;
    bool (*write)(const Page&, const Query&, const Sink&) = nullptr;
    bool heeds_query = false;
    std::string_view text{};
};

constexpr std::array views{
    Route{.path = "/metrics", .type = exposition_content_type, .write = write_metrics},
    Route{.path = "/api/v1/status", .type = "application/json", .write = write_view<status_json>},
    Route{.path = "/api/v1/alerts", .type = "application/json", .write = write_view<alerts_json>},
    Route{.path = "/api/v1/backends", .type = "application/json", .write = write_view<backends_json>},
    Route{
        .path = "/api/v1/history", .type = "application/json", .write = write_found<history_json>, .heeds_query = true},
    Route{
        .path = "/api/v1/explain", .type = "application/json", .write = write_found<explain_json>, .heeds_query = true},
    Route{
        .path = "/api/v1/sockets", .type = "application/json", .write = write_found<sockets_json>, .heeds_query = true},
    Route{
        .path = "/api/v1/samples", .type = "application/json", .write = write_found<samples_json>, .heeds_query = true},
    Route{.path = "/api/v1/events", .type = "application/json", .write = write_found<events_json>, .heeds_query = true},
};

std::optional<Route> route_to(std::string_view path) {
    if (const auto* const view = std::ranges::find(views, path, &Route::path); view != views.end()) {
        return *view;
    }
    const auto asset = std::ranges::find(assets(), path, &Asset::path);
    return asset == assets().end()
               ? std::nullopt
               : std::optional(Route{.path = asset->path, .type = asset->type, .text = asset->text});
}

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

Text write_packed(const Page& page, const Route& route, const Query& query) {
    Packer packer;
    const Sink sink = [&packer](std::string_view piece) { return packer.write(piece); };
    if (route.write == nullptr ? !sink(route.text) : !route.write(page, query, sink)) {
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
         "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src data:; connect-src "
         "'self'; "
         "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
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
    return route_to(path).has_value();
}

MHD_Response* Responses::get(const Page& page, std::uint64_t edition, std::string_view path, const Query& query,
                             bool packed, const Headers& headers) {
    if (std::exchange(edition_, edition) != edition || headers_ != headers) {
        headers_ = headers;
        made_.clear();
        made_for_query_.clear();
    }
    const auto route = *route_to(path);
    auto& kept = route.heeds_query ? made_for_query_ : made_;
    const std::pair key(route.path, route.heeds_query ? query : Query());
    auto made = kept.find(key);
    if (made == kept.end()) {
        const auto text = write_packed(page, route, query);
        if (text == nullptr) {
            return nullptr;
        }
        Pair pair{.plain = page_response(text, text->size(), read_from<&PackedText::read>, route.type, headers),
                  .packed = page_response(text, text->packed_size(), read_from<&PackedText::read_packed>, route.type,
                                          headers)};
        MHD_add_response_header(pair.packed.get(), MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
        if (route.heeds_query && kept.size() == most_for_query) {
            kept.clear();  // connections hold what they are sending
        }
        made = kept.emplace(key, std::move(pair)).first;
    }
    return (packed ? made->second.packed : made->second.plain).get();
}

}  // namespace upstat::publish
