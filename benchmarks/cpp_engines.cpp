// What an engine adds to the bare call of its backend: edgepose_bench_engines BUNDLE [RUNS]. The
// two run by turns, so a machine that changes its speed slows both. JSON on standard output.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#ifdef EDGEPOSE_WITH_NCNN
#include <datareader.h>
#include <net.h>

#include <fstream>
#include <iterator>
#endif
#ifdef EDGEPOSE_WITH_OPENVINO
#include <openvino/openvino.hpp>
#endif

#include "edgepose/bundle.h"
#include "edgepose/engine.h"

namespace edgepose {
namespace {

using Call = std::function<void()>;

double milliseconds(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

#ifdef EDGEPOSE_WITH_NCNN
std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// As in ncnn's own examples: an input of its own, filled beforehand, and a fresh extractor.
Call bare_ncnn(const BundleModel& model, const Tensor& input) {
  auto net = std::make_shared<ncnn::Net>();
  net->opt.num_threads = 1;
  net->opt.use_fp16_packed = net->opt.use_fp16_storage = net->opt.use_fp16_arithmetic = false;
  const std::string param = content(model.files.paths.at("param"));
  auto bin = std::make_shared<std::string>(content(model.files.paths.at("bin")));
  const auto* text = reinterpret_cast<const unsigned char*>(param.data());
  if (net->load_param(ncnn::DataReaderFromMemory(text, param.size())) != 0) return nullptr;
  const auto* weights = reinterpret_cast<const unsigned char*>(bin->data());
  if (net->load_model(ncnn::DataReaderFromMemory(weights, bin->size())) != 0) return nullptr;
  ncnn::Mat in(static_cast<int>(input.dim(3)), static_cast<int>(input.dim(2)), 3);
  for (int c = 0; c < 3; ++c) {
    const float* plane = input.data() + input.count() / 3 * c;
    std::copy_n(plane, input.count() / 3, static_cast<float*>(in.channel(c)));
  }
  return [net, bin, in, names = model.files] {
    ncnn::Extractor extractor = net->create_extractor();
    extractor.input(names.inputs[0].tensor.c_str(), in);
    for (const TensorSpec& spec : names.outputs) {
      ncnn::Mat out;
      extractor.extract(spec.tensor.c_str(), out);
    }
  };
}
#endif

#ifdef EDGEPOSE_WITH_OPENVINO
Call bare_openvino(const BundleModel& model, const Tensor& input) {
  auto core = std::make_shared<ov::Core>();
  const auto& paths = model.files.paths;
  auto network = paths.count("onnx") != 0 ? core->read_model(paths.at("onnx"))
                                          : core->read_model(paths.at("xml"), paths.at("bin"));
  network->reshape({1, 3, input.dim(2), input.dim(3)});
  auto compiled = core->compile_model(
      network, "CPU",
      {ov::inference_num_threads(1), ov::num_streams(1),
       ov::hint::inference_precision(ov::element::f32), ov::hint::enable_cpu_pinning(false)});
  auto request = std::make_shared<ov::InferRequest>(compiled.create_infer_request());
  request->set_input_tensor(
      ov::Tensor(ov::element::f32, network->input().get_shape(), const_cast<float*>(input.data())));
  return [core, request] { request->infer(); };
}
#endif

Call bare_call(const Bundle& bundle, [[maybe_unused]] const BundleModel& model,
               [[maybe_unused]] const Tensor& input) {
#ifdef EDGEPOSE_WITH_NCNN
  if (bundle.backend() == "ncnn") return bare_ncnn(model, input);
#endif
#ifdef EDGEPOSE_WITH_OPENVINO
  if (bundle.backend() == "openvino" || bundle.backend() == "onnx")
    return bare_openvino(model, input);
#endif
  return nullptr;
}

int measure(const std::string& folder, int runs) {
  auto bundle = Bundle::open(folder);
  if (!bundle.ok()) {
    std::fprintf(stderr, "%s\n", bundle.status().message().c_str());
    return 1;
  }
  for (const auto& [role, model] : bundle.value().manifest().models) {
    std::vector<Tensor> in(1);
    in[0].resize({1, 3, model.preprocess.input_height_px, model.preprocess.input_width_px});
    for (int64_t i = 0; i < in[0].count(); ++i)
      in[0].data()[i] = static_cast<float>((i * 7919) % 1000) / 250.0F - 2.0F;
    EngineOptions options;
    options.precision = bundle.value().precision();
    auto engine = make_engine(bundle.value().backend(), model.files, options);
    const Call bare = bare_call(bundle.value(), model, in[0]);
    if (!engine.ok() || bare == nullptr) {
      std::fprintf(stderr, "%s cannot be measured\n", role.c_str());
      return 1;
    }
    std::vector<Tensor> out;
    bool failed = false;
    const Call ours = [&] { failed = failed || !engine.value()->run(in, &out).ok(); };
    std::vector<double> bare_ms, ours_ms;
    for (int run = -10; run < runs; ++run) {
      const bool first = run % 2 == 0;
      const double a = milliseconds(first ? bare : ours);
      const double b = milliseconds(first ? ours : bare);
      if (run < 0) continue;
      bare_ms.push_back(first ? a : b);
      ours_ms.push_back(first ? b : a);
    }
    if (failed) return 1;
    std::printf(
        "{\"backend\": \"%s\", \"model\": \"%s\", \"runs\": %d, \"bare_ms\": %.4f, "
        "\"engine_ms\": %.4f, \"overhead_percent\": %.2f, \"overhead_p10_percent\": %.2f}\n",
        bundle.value().backend().c_str(), model.name.c_str(), runs, quantile(bare_ms, 0.5),
        quantile(ours_ms, 0.5), 100 * (quantile(ours_ms, 0.5) / quantile(bare_ms, 0.5) - 1),
        100 * (quantile(ours_ms, 0.1) / quantile(bare_ms, 0.1) - 1));
  }
  return 0;
}

}  // namespace
}  // namespace edgepose

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: edgepose_bench_engines BUNDLE [RUNS]\n", stderr);
    return 2;
  }
  return edgepose::measure(argv[1], argc > 2 ? std::max(1, std::atoi(argv[2])) : 200);
}
