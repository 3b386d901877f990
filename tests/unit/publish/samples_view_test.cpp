// SPDX-License-Identifier: Apache-2.0
#include "publish/samples_view.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "publish/sample.hpp"

namespace upstat::publish {
namespace {

using nlohmann::json;

poll::Sample sample_of(const std::string& server, const std::string& path, int seconds_ago) {
    return {.server = *poll::parse_server(server),
            .code = 404,
            .method = poll::Method::get,
            .path = path,
            .age = std::chrono::seconds(seconds_ago)};
}

Report report_of(std::vector<poll::Sample> samples) {
    auto report = sample_report();
    attribute::Owners owners;
    owners[*poll::parse_server("10.0.0.1:80")] = {"app@file"};
    report.owners = std::make_shared<const attribute::Owners>(owners);
    report.samples = std::make_shared<const poll::Samples>(poll::Samples{.all = std::move(samples), .lost = 3});
    return report;
}

json paths_of(const Report& report, const std::string& backend) {
    Query query;
    query.backend = backend;
    const auto text = samples_json(report, query);
    return text ? json::parse(*text) : json();
}

TEST(SamplesView, ASampleHasItsServerCodeMethodAndPath) {
    auto cut = sample_of("10.0.0.1:80", "/a", 2);
    cut.cut = true;
    const auto out = paths_of(report_of({sample_of("10.0.0.1:80", "/a", 1), cut}), "app@file");
    EXPECT_EQ(out["on"], true);
    EXPECT_EQ(out["lost"], 3);
    EXPECT_EQ(out["samples"][0], json({{"at", "2023-11-14T22:13:19.123Z"},
                                       {"server", "10.0.0.1:80"},
                                       {"code", 404},
                                       {"method", "GET"},
                                       {"path", "/a"},
                                       {"cut", false}}));
    EXPECT_EQ(out["samples"][1]["cut"], true);
    EXPECT_EQ(out["paths"], json({{{"path", "/a"}, {"count", 1}}, {{"path", "/a..."}, {"count", 1}}}));
}

TEST(SamplesView, TheMostFrequentPathsComeFirstAndOfOneBackendOnlyItsOwn) {
    const auto report = report_of({sample_of("10.0.0.1:80", "/rare", 1), sample_of("10.0.0.1:80", "/often", 2),
                                   sample_of("10.0.0.1:80", "/often", 3), sample_of("10.0.0.9:80", "/elsewhere", 4)});
    EXPECT_EQ(paths_of(report, "app@file")["total"], 3);
    EXPECT_EQ(paths_of(report, "app@file")["paths"][0], json({{"path", "/often"}, {"count", 2}}));
    EXPECT_EQ(paths_of(report, "")["total"], 4);
    EXPECT_EQ(paths_of(report, "nobody@file"), json());
    EXPECT_EQ(paths_text(report, attribute::BackendName("app@file")),
              "of the last 3 bad requests that were kept: 2 of /often, 1 of /rare");
}

TEST(SamplesView, APathMayHoldAnyBytes) {
    const auto out = paths_of(report_of({sample_of("10.0.0.1:80", "/\x1b[2J\xff\"<b>", 1)}), "");
    EXPECT_EQ(out["samples"][0]["path"], "/\\x1b[2J\\xff\"<b>");
}

TEST(SamplesView, ManyAreCutOff) {
    std::vector<poll::Sample> many;
    for (int i = 0; i < 1500; ++i) {
        many.push_back(sample_of("10.0.0.1:80", "/" + std::to_string(i), i));
    }
    const auto out = paths_of(report_of(std::move(many)), "app@file");
    EXPECT_EQ(out["total"], 1500);
    EXPECT_EQ(out["samples"].size(), 1000U);
    EXPECT_EQ(out["paths"].size(), 20U);
}

TEST(SamplesView, WhereNoneAreWantedItSaysSo) {
    const auto out = paths_of(sample_report(), "");
    EXPECT_EQ(out["on"], false);
    EXPECT_EQ(out["samples"], json::array());
    EXPECT_EQ(paths_text(sample_report(), attribute::BackendName("app@file")), "");
}

}  // namespace
}  // namespace upstat::publish
