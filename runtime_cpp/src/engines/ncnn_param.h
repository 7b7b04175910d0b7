#ifndef EDGEPOSE_SRC_ENGINES_NCNN_PARAM_H_
#define EDGEPOSE_SRC_ENGINES_NCNN_PARAM_H_

#include <string>

#include "edgepose/status.h"

namespace edgepose {

// Refuses what ncnn's own parser takes on trust, and names a layer that is missing, which ncnn
// would only print. has_layer tells whether the build has a layer type; path is for messages.
Status check_ncnn_param(const std::string& text, const std::string& path,
                        bool (*has_layer)(const char* type));

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_ENGINES_NCNN_PARAM_H_
