#ifndef EDGEPOSE_SRC_GOLDEN_H_
#define EDGEPOSE_SRC_GOLDEN_H_

#include <cstdint>
#include <vector>

#include "edgepose/bundle.h"
#include "edgepose/pipeline.h"

namespace edgepose {

// Reads the golden picture's bytes. Error: kIo.
Result<std::vector<uint8_t>> read_golden_picture(const GoldenSpec& golden);

// Compares what a bundle's pipeline gave for the golden picture with what it should give.
GoldenReport compare_with_golden(const Bundle& bundle, const std::vector<Detection>& detections,
                                 const std::vector<Pose>& poses);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_GOLDEN_H_
