#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engines/engines.h"
#include "engines/rknn_layout.h"
#include "engines/rknn_library.h"

namespace edgepose {
namespace {

using rknn::Library;
using rknn::TensorAttr;

constexpr int kOldestMajor = 2;
constexpr int64_t kMaxFileBytes = int64_t{1} << 31;
constexpr char kOldLibraryHint[] =
    "librknnrt is probably older than the toolkit that compiled this: install librknnrt 2.x and "
    "the NPU driver that belongs to it";

struct Device {
  const char* name;
  int core_mask;
};

// "CPU" is what options hold when nothing was asked for: the runtime then chooses the core.
constexpr Device kDevices[] = {{"CPU", 0},  {"NPU", 0},   {"NPU0", 1},   {"NPU1", 2},
                               {"NPU2", 4}, {"NPU01", 3}, {"NPU012", 7}, {"NPUALL", 0xFFFF}};

// One input or output: what the bundle declares, the NPU's own form, and the buffer that both sides
// see.
struct Port {
  rknn::Shape shape;
  int64_t count = 0;
  TensorAttr attr{};
  rknn::Memory* memory = nullptr;
  std::vector<float> plain;  // without zero-copy
};

class RknnEngine final : public InferenceEngine {
 public:
  RknnEngine(const ModelFiles& files, std::shared_ptr<Library> library)
      : files_(files), library_(std::move(library)) {}

  ~RknnEngine() override {
    if (!open_) return;
    for (std::vector<Port>* ports : {&inputs_, &outputs_}) {
      for (Port& port : *ports) {
        if (port.memory != nullptr) library_->destroy_mem(context_, port.memory);
      }
    }
    library_->destroy(context_);
  }

  const std::vector<TensorSpec>& inputs() const override { return files_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return files_.outputs; }

  Status open(int core_mask) {
    EDGEPOSE_ASSIGN_OR_RETURN(path_, path_of(files_, "rknn"));
    EDGEPOSE_RETURN_IF_ERROR(load());
    EDGEPOSE_RETURN_IF_ERROR(check_versions());
    if (core_mask != 0) {
      if (library_->set_core_mask == nullptr)
        return Status(Code::kUnsupported, library_->path + " cannot choose cores of the NPU",
                      "use the device NPU");
      const int answer = library_->set_core_mask(context_, core_mask);
      if (answer != rknn::kSuccess)
        return Status(Code::kUnsupported, "the NPU has no such cores: " + rknn::answer_text(answer),
                      "use the device NPU");
    }
    rknn::Counts counts{};
    EDGEPOSE_RETURN_IF_ERROR(ask(rknn::kQueryCounts, &counts));
    EDGEPOSE_RETURN_IF_ERROR(ports("input", files_.inputs, counts.inputs, true, &inputs_));
    EDGEPOSE_RETURN_IF_ERROR(ports("output", files_.outputs, counts.outputs, false, &outputs_));
    for (const TensorSpec& spec : files_.outputs) out_dims_.push_back(spec.dims);
    return {};
  }

  Status run(Span<const Tensor> in, std::vector<Tensor>* out) override {
    return guarded("RKNN", [&] { return run_batch(in, out); });
  }

 private:
  Status failure(const std::string& what,
                 const std::string& hint = "convert the checkpoint again") {
    return Status(Code::kBackendFailure, path_ + ": " + what, hint);
  }

  Status load() {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path_.c_str(), "rb"),
                                                               std::fclose);
    if (file == nullptr) return Status(Code::kIo, path_ + " cannot be read");
    std::vector<char> content;
    char block[1 << 16];
    for (size_t got = 0; (got = std::fread(block, 1, sizeof(block), file.get())) > 0;) {
      content.insert(content.end(), block, block + got);
      if (static_cast<int64_t>(content.size()) > kMaxFileBytes) return failure("it is too large");
    }
    if (content.empty()) return failure("the file is empty");
    const int answer = library_->init(&context_, content.data(),
                                      static_cast<uint32_t>(content.size()), 0, nullptr);
    if (answer == rknn::kOtherPlatform)
      return failure(rknn::answer_text(answer), "convert it with this board's chip as --soc");
    // The bundle's checksums have shown that the file is whole.
    if (answer == rknn::kFail || answer == rknn::kBadModel)
      return failure("rknn_init: " + rknn::answer_text(answer), kOldLibraryHint);
    if (answer != rknn::kSuccess) return failure("rknn_init: " + rknn::answer_text(answer));
    open_ = true;
    return {};
  }

  Status check_versions() {
    rknn::Versions versions{};
    EDGEPOSE_RETURN_IF_ERROR(ask(rknn::kQueryVersions, &versions));
    versions.api[sizeof(versions.api) - 1] = '\0';
    versions.driver[sizeof(versions.driver) - 1] = '\0';
    int major = 0;
    if (std::sscanf(versions.api, "%d.", &major) != 1 || major < kOldestMajor) {
      return Status(Code::kUnsupported,
                    "librknnrt has the version \"" + one_line(versions.api) + "\" (driver \"" +
                        one_line(versions.driver) + "\"), older than " +
                        std::to_string(kOldestMajor) + ".0",
                    "install librknnrt 2.x and the NPU driver that belongs to it");
    }
    return {};
  }

  template <typename T>
  Status ask(int what, T* answer) {
    const int got = library_->query(context_, what, answer, sizeof(T));
    if (got == rknn::kSuccess) return {};
    return failure("rknn_query " + std::to_string(what) + ": " + rknn::answer_text(got));
  }

  Status ports(const char* what, const std::vector<TensorSpec>& specs, uint32_t count,
               bool is_input, std::vector<Port>* ports) {
    if (count != specs.size()) {
      return failure("it has " + std::to_string(count) + " " + what + "s, the bundle declares " +
                     std::to_string(specs.size()));
    }
    ports->resize(specs.size());
    for (uint32_t index = 0; index < count; ++index) {
      TensorAttr attr{};
      attr.index = index;
      EDGEPOSE_RETURN_IF_ERROR(ask(is_input ? rknn::kQueryInput : rknn::kQueryOutput, &attr));
      attr.name[sizeof(attr.name) - 1] = '\0';
      const auto spec = std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& candidate) {
        return candidate.tensor == attr.name;
      });
      if (spec == specs.end())
        return failure(std::string("the bundle declares no ") + what + " \"" + one_line(attr.name) +
                       "\"");
      Port& port = (*ports)[static_cast<size_t>(spec - specs.begin())];
      if (!same_dims(*spec, attr) || !rknn::shape_of(spec->dims, &port.shape)) {
        return failure(std::string(what) + " \"" + spec->tensor + "\" is " + dims_of(attr) +
                       ", the bundle declares " + dims_text(spec->dims));
      }
      if (port.count != 0) return failure(std::string("two ") + what + "s have one name");
      port.count = port.shape.channels * port.shape.height * port.shape.width;
      port.attr = attr;
      EDGEPOSE_RETURN_IF_ERROR(library_->zero_copy() ? share(what, index, is_input, &port)
                                                     : copy(&port));
    }
    return {};
  }

  // A batch of one, and the dims that the bundle has; an input of NHWC is turned for the
  // comparison.
  static bool same_dims(const TensorSpec& spec, const TensorAttr& attr) {
    const size_t rank = spec.dims.size();
    if (attr.rank != rank || rank < 2 || rank > 4 || attr.dims[0] != 1) return false;
    const bool turned = attr.layout == rknn::kNhwc && rank == 4;
    for (size_t i = 1; i < rank; ++i) {
      const size_t place = turned ? (i == 1 ? 3 : i - 1) : i;
      if (attr.dims[place] != spec.dims[i]) return false;
    }
    return true;
  }

  static std::string dims_of(const TensorAttr& attr) {
    const uint32_t rank = std::min<uint32_t>(attr.rank, rknn::kMaxDims);
    return dims_text(std::vector<int64_t>(attr.dims, attr.dims + rank));
  }

  // Makes a buffer in the NPU's own layout and binds it: nothing is copied by the runtime.
  Status share(const char* what, uint32_t index, bool is_input, Port* port) {
    TensorAttr own{};
    own.index = index;
    EDGEPOSE_RETURN_IF_ERROR(
        ask(is_input ? rknn::kQueryNativeInput : rknn::kQueryNativeOutput, &own));
    if (!rknn::is_known(own, port->shape)) {
      return failure(std::string(what) + " \"" + port->attr.name + "\" has type " +
                     std::to_string(own.type) + ", layout " + std::to_string(own.layout) +
                     ", dims " + dims_of(own) + ", which this version cannot convert");
    }
    const uint32_t bytes = static_cast<uint32_t>(rknn::buffer_bytes(own));
    port->memory = library_->create_mem(context_, bytes);
    if (port->memory == nullptr || port->memory->data == nullptr)
      return failure("the NPU has no memory for " + std::to_string(bytes) + " bytes", "");
    if (is_input) {
      own.pass_through = 1;
      std::memset(port->memory->data, 0, bytes);
    }
    port->attr = own;
    const int answer = library_->set_io_mem(context_, port->memory, &port->attr);
    if (answer == rknn::kSuccess) return {};
    return failure("rknn_set_io_mem: " + rknn::answer_text(answer));
  }

  // Without zero-copy the runtime converts from and to plain float32.
  static Status copy(Port* port) {
    port->plain.resize(static_cast<size_t>(port->count));
    return {};
  }

  Status run_batch(Span<const Tensor> in, std::vector<Tensor>* out) {
    EDGEPOSE_RETURN_IF_ERROR(check_inputs(files_.inputs, in));
    const int64_t batch = in[0].dim(0);
    resize_outputs(batch, &out_dims_, out);
    for (int64_t item = 0; item < batch; ++item) {
      EDGEPOSE_RETURN_IF_ERROR(library_->zero_copy() ? run_shared(in, item, out)
                                                     : run_copied(in, item, out));
    }
    return {};
  }

  Status sync(Port* port, int mode) {
    if (library_->mem_sync == nullptr) return {};
    return check("rknn_mem_sync", library_->mem_sync(context_, port->memory, mode));
  }

  Status check(const char* call, int answer) {
    if (answer == rknn::kSuccess) return {};
    return Status(Code::kBackendFailure, std::string(call) + ": " + rknn::answer_text(answer));
  }

  Status run_shared(Span<const Tensor> in, int64_t item, std::vector<Tensor>* out) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Port& port = inputs_[i];
      rknn::pack(in[i].data() + port.count * item, port.shape, port.attr, port.memory->data);
      EDGEPOSE_RETURN_IF_ERROR(sync(&port, rknn::kToDevice));
    }
    EDGEPOSE_RETURN_IF_ERROR(check("rknn_run", library_->run(context_, nullptr)));
    for (size_t o = 0; o < outputs_.size(); ++o) {
      Port& port = outputs_[o];
      EDGEPOSE_RETURN_IF_ERROR(sync(&port, rknn::kFromDevice));
      rknn::unpack(port.memory->data, port.shape, port.attr, (*out)[o].data() + port.count * item);
    }
    return {};
  }

  Status run_copied(Span<const Tensor> in, int64_t item, std::vector<Tensor>* out) {
    in_calls_.assign(inputs_.size(), rknn::Input{});
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Port& port = inputs_[i];
      // The runtime takes pictures as NHWC.
      TensorAttr plain{};
      plain.type = rknn::kFloat32;
      plain.layout = rknn::kNhwc;
      rknn::pack(in[i].data() + port.count * item, port.shape, plain, port.plain.data());
      rknn::Input& call = in_calls_[i];
      call.index = port.attr.index;
      call.data = port.plain.data();
      call.bytes = static_cast<uint32_t>(port.plain.size() * sizeof(float));
      call.type = rknn::kFloat32;
      call.layout = rknn::kNhwc;
    }
    EDGEPOSE_RETURN_IF_ERROR(check(
        "rknn_inputs_set",
        library_->inputs_set(context_, static_cast<uint32_t>(in_calls_.size()), in_calls_.data())));
    EDGEPOSE_RETURN_IF_ERROR(check("rknn_run", library_->run(context_, nullptr)));
    out_calls_.assign(outputs_.size(), rknn::Output{});
    for (size_t o = 0; o < outputs_.size(); ++o) {
      const uint32_t index = outputs_[o].attr.index;
      rknn::Output& call = out_calls_[index];
      call.index = index;
      call.want_float = 1;
      call.is_preallocated = 1;
      call.data = (*out)[o].data() + outputs_[o].count * item;
      call.bytes = static_cast<uint32_t>(outputs_[o].count * int64_t{sizeof(float)});
    }
    const uint32_t count = static_cast<uint32_t>(out_calls_.size());
    EDGEPOSE_RETURN_IF_ERROR(check(
        "rknn_outputs_get", library_->outputs_get(context_, count, out_calls_.data(), nullptr)));
    return check("rknn_outputs_release",
                 library_->outputs_release(context_, count, out_calls_.data()));
  }

  ModelFiles files_;
  std::shared_ptr<Library> library_;
  std::string path_;
  rknn::Context context_ = 0;
  bool open_ = false;
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  std::vector<std::vector<int64_t>> out_dims_;
  std::vector<rknn::Input> in_calls_;
  std::vector<rknn::Output> out_calls_;
};

}  // namespace

EngineResult make_rknn_engine(const ModelFiles& files, const EngineOptions& options) {
  const auto device =
      std::find_if(std::begin(kDevices), std::end(kDevices),
                   [&](const Device& candidate) { return options.device == candidate.name; });
  if (device == std::end(kDevices)) {
    return Status(Code::kUnsupported, "the rknn engine has no device \"" + options.device + "\"",
                  "use NPU, NPU0, NPU1, NPU2, NPU01, NPU012 or NPUALL");
  }
  EDGEPOSE_RETURN_IF_ERROR(path_of(files, "rknn").status());
  EDGEPOSE_ASSIGN_OR_RETURN(std::shared_ptr<Library> library, rknn::load_library());
  auto engine = std::make_unique<RknnEngine>(files, std::move(library));
  EDGEPOSE_RETURN_IF_ERROR(engine->open(device->core_mask));
  return std::unique_ptr<InferenceEngine>(std::move(engine));
}

}  // namespace edgepose
