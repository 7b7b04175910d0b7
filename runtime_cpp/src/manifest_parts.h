#ifndef EDGEPOSE_SRC_MANIFEST_PARTS_H_
#define EDGEPOSE_SRC_MANIFEST_PARTS_H_

#include "edgepose/bundle.h"
#include "json_reader.h"

namespace edgepose {

// Each reads one member of a manifest; a defect stays in the reader.
Preprocess read_preprocess(const JsonNode& node, JsonReader* reader);
SimccHead read_simcc_head(const JsonNode& node, JsonReader* reader);
BoxHead read_box_head(const JsonNode& node, JsonReader* reader);
RtmoHead read_rtmo_head(const JsonNode& node, JsonReader* reader);
TrackingSettings read_tracking(const JsonNode& node, JsonReader* reader);

// One entry of "models", with its tensors checked against head and preprocess. File paths are left
// relative.
BundleModel read_model(const JsonNode& node, const std::string& role, const std::string& backend,
                       JsonReader* reader);

// How many keypoints the head has; 0 for a detector.
int keypoint_count(const Head& head);

// Reads the text of the golden.json that `manifest` names into its golden member. Errors:
// kInvalidBundle.
Status read_golden_expectation(const std::string& text, Manifest* manifest);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_MANIFEST_PARTS_H_
