// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "attribute/catalogue.hpp"

namespace upstat::attribute {

/// What a backend's name says of the Kubernetes service behind it; each part is empty where it cannot be told.
struct KubernetesName {
    std::string name_space;
    std::string service;
    std::string port;

    bool operator==(const KubernetesName&) const = default;
};

/// The namespaces that names of this catalogue tell without doubt.
std::set<std::string> plain_namespaces(const Catalogue& catalogue);

/// Traefik's Kubernetes providers join namespace, service and port by dashes ("default-web-80@kubernetes"), or name the
/// IngressRoute and a hash of its rule ("default-shop-050afe453baf5e1d3427@kubernetescrd"), and each of the parts may
/// have dashes itself. So a name is taken apart where there is one way only, or where it begins with a namespace that
/// is known. A wrong part is worse than none.
KubernetesName kubernetes_name(const std::string& backend, const std::string& provider,
                               const std::set<std::string>& namespaces);

}  // namespace upstat::attribute
