// SPDX-License-Identifier: Apache-2.0
#include "attribute/kubernetes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upstat::attribute {
namespace {

using testing::ElementsAre;

constexpr auto ingress = "kubernetes";
constexpr auto route = "kubernetescrd";

Catalogue of(const std::vector<std::string>& names) {
    Catalogue catalogue;
    for (const auto& name : names) {
        catalogue.backends[name].provider = name.substr(name.rfind('@') + 1);
    }
    return catalogue;
}

TEST(Kubernetes, NamesAreTakenApart) {
    EXPECT_EQ(kubernetes_name("default-web-80@kubernetes", ingress, {}), (KubernetesName{"default", "web", "80"}));
    EXPECT_EQ(kubernetes_name("default-web-8080@kubernetescrd", route, {}), (KubernetesName{"default", "web", "8080"}));
    EXPECT_EQ(kubernetes_name("shops-web-80@kubernetes", ingress, {}), (KubernetesName{"shops", "web", "80"}));
    EXPECT_EQ(kubernetes_name("kube-system-my-web-80@kubernetes", ingress, {}),
              (KubernetesName{"kube-system", "my-web", "80"}));
}

TEST(Kubernetes, OfARuleOnlyTheNamespaceIsKnown) {
    EXPECT_EQ(kubernetes_name("default-shop-050afe453baf5e1d3427@kubernetescrd", route, {}),
              (KubernetesName{"default", "", ""}));
    EXPECT_EQ(kubernetes_name("default-shop-050afe453baf5e1d3427@kubernetes", ingress, {}), KubernetesName{})
        << "that provider writes none";
}

/// A wrong part is worse than none.
TEST(Kubernetes, WhatHasSeveralWaysIsLeftUnlessANamespaceIsKnown) {
    EXPECT_EQ(kubernetes_name("my-shop-web-80@kubernetes", ingress, {}), (KubernetesName{"", "", "80"}));
    EXPECT_EQ(kubernetes_name("my-shop-web-80@kubernetes", ingress, {"my-shop"}),
              (KubernetesName{"my-shop", "web", "80"}));
    EXPECT_EQ(kubernetes_name("my-shop-web-80@kubernetes", ingress, {"my", "my-shop"}),
              (KubernetesName{"my-shop", "web", "80"}));
    EXPECT_EQ(kubernetes_name("default-web-http@kubernetes", ingress, {}), KubernetesName{}) << "a port's name";
}

TEST(Kubernetes, OtherProvidersNamesSayNothing) {
    EXPECT_EQ(kubernetes_name("default-web-80@file", "file", {}), KubernetesName{});
    EXPECT_EQ(kubernetes_name("default-web-80@docker", "docker", {}), KubernetesName{});
    for (const auto* const name : {"", "-", "web", "-80@kubernetes", "80@kubernetes", "@kubernetes"}) {
        EXPECT_EQ(kubernetes_name(name, ingress, {}).service, "") << name;
    }
}

TEST(Kubernetes, NamespacesAreLearntFromPlainNames) {
    EXPECT_THAT(plain_namespaces(of({"shops-web-80@kubernetes", "my-shop-web-80@kubernetes", "a-b@kubernetes",
                                     "data-x-050afe453baf5e1d3427@kubernetescrd", "c-d-80@file"})),
                ElementsAre("data", "shops"));
}

}  // namespace
}  // namespace upstat::attribute
