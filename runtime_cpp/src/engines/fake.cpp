#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engines/engines.h"

namespace edgepose {
namespace {

constexpr char kMagic[] = "edgepose-fake 1\n";

// A network for tests without a backend: element j of output o is an element of the item's first
// input, chosen by a fixed rule, so results are exact, depend on the picture and do not mix the
// items of a batch.
class FakeEngine final : public InferenceEngine {
 public:
  explicit FakeEngine(const ModelFiles& files) : inputs_(files.inputs), outputs_(files.outputs) {
    for (const TensorSpec& spec : outputs_) out_dims_.push_back(spec.dims);
  }

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }

  Status run(Span<const Tensor> in, std::vector<Tensor>* out) override {
    EDGEPOSE_RETURN_IF_ERROR(check_inputs(inputs_, in));
    const int64_t batch = in[0].dim(0);
    const int64_t in_count = in[0].count() / batch;
    resize_outputs(batch, &out_dims_, out);
    for (size_t o = 0; o < outputs_.size(); ++o) {
      const int64_t out_count = (*out)[o].count() / batch;
      for (int64_t b = 0; b < batch; ++b) {
        const float* source = in[0].data() + b * in_count;
        float* target = (*out)[o].data() + b * out_count;
        const int64_t first = static_cast<int64_t>(o) * 104729;
        for (int64_t j = 0; j < out_count; ++j) target[j] = source[(first + j * 7919) % in_count];
      }
    }
    return {};
  }

 private:
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<std::vector<int64_t>> out_dims_;
};

}  // namespace

EngineResult make_fake_engine(const ModelFiles& files, const EngineOptions& options) {
  if (options.device != "CPU") {
    return Status(Code::kUnsupported, "the fake engine has no device \"" + options.device + "\"",
                  "use CPU");
  }
  EDGEPOSE_ASSIGN_OR_RETURN(const std::string path, path_of(files, "fake"));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (file == nullptr) return Status(Code::kIo, path + " cannot be read");
  std::array<char, sizeof(kMagic) - 1> start{};
  const size_t length = std::fread(start.data(), 1, start.size(), file.get());
  if (length != start.size() || std::memcmp(start.data(), kMagic, start.size()) != 0) {
    return Status(Code::kBackendFailure, path + " is no network of the fake engine");
  }
  return std::unique_ptr<InferenceEngine>(std::make_unique<FakeEngine>(files));
}

}  // namespace edgepose
