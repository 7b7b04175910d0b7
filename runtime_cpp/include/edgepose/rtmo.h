#ifndef EDGEPOSE_RTMO_H_
#define EDGEPOSE_RTMO_H_

#include <memory>
#include <string>
#include <vector>

#include "edgepose/preprocess.h"
#include "edgepose/span.h"
#include "edgepose/spec.h"
#include "edgepose/status.h"
#include "edgepose/tensor.h"
#include "edgepose/types.h"

namespace edgepose {

class WorkerPool;

// Turns RTMO's raw maps into persons: score filter, suppression, and the dynamic coordinate
// classifier for the kept cells only. An instance serves one caller at a time; after the first
// pictures it allocates nothing.
class RtmoDecoder {
 public:
  // dcc_file holds the weights of the classifier (src/dcc_file.h describes it). With a pool, which
  // must outlive the decoder, persons are shared among its threads. Errors: kIo, and kInvalidBundle
  // for weights that are damaged or do not fit the head.
  static Result<std::unique_ptr<RtmoDecoder>> open(const RtmoHead& head,
                                                   const std::string& dcc_file,
                                                   WorkerPool* pool = nullptr);
  ~RtmoDecoder();
  RtmoDecoder(const RtmoDecoder&) = delete;
  RtmoDecoder& operator=(const RtmoDecoder&) = delete;

  // Decodes item batch_index of the maps (their order is that of RtmoHead). *persons receives the
  // boxes in source pixels, best first, clipped to the input and to the picture; *keypoints the
  // points of each, one person after the other, with their visibility as score. Cells with a value
  // that is not finite are skipped; a point for which the network gives none is missing: score 0,
  // at the centre of the box. Errors: kInvalidArgument for maps that do not fit the head or the
  // input.
  Status decode(Span<const Tensor> outputs, int batch_index, const Preprocess& preprocess,
                const InputTransform& transform, int image_width_px, int image_height_px,
                std::vector<Detection>* persons, std::vector<Keypoint>* keypoints);

 private:
  struct State;
  explicit RtmoDecoder(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_RTMO_H_
