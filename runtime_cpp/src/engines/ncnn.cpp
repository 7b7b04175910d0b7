#include <cpu.h>
#include <datareader.h>
#include <layer.h>
#include <net.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engines/engines.h"
#include "engines/ncnn_param.h"
#include "engines/openmp_wait.h"
#include "worker_pool.h"

namespace edgepose {
namespace {

constexpr int64_t kMaxParamBytes = int64_t{16} << 20;
constexpr int64_t kMaxBinBytes = int64_t{4} << 30;
constexpr size_t kMaxScaleBytes = size_t{64} << 20;

struct OpenFile {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file;
  size_t bytes;
};

Result<OpenFile> open_file(const std::string& path, int64_t max_bytes) {
  OpenFile opened{{std::fopen(path.c_str(), "rb"), std::fclose}, 0};
  if (opened.file == nullptr || std::fseek(opened.file.get(), 0, SEEK_END) != 0)
    return Status(Code::kIo, path + " cannot be read");
  const int64_t bytes = std::ftell(opened.file.get());
  if (bytes < 0 || bytes > max_bytes) {
    return Status(Code::kBackendFailure, path + " has " + std::to_string(bytes) + " bytes",
                  "at most " + std::to_string(max_bytes) + " are accepted");
  }
  std::rewind(opened.file.get());
  opened.bytes = static_cast<size_t>(bytes);
  return opened;
}

Result<std::string> read_file(const std::string& path, int64_t max_bytes) {
  EDGEPOSE_ASSIGN_OR_RETURN(const OpenFile opened, open_file(path, max_bytes));
  std::string content(opened.bytes, '\0');
  if (std::fread(content.data(), 1, content.size(), opened.file.get()) != content.size()) {
    return Status(Code::kIo, path + " cannot be read to its end");
  }
  return content;
}

// Reads the weights as ncnn asks for them, so that a large file never lies in memory beside them.
// Gives zeros past the end: ncnn uses the scales of int8 layers without asking whether they were
// there. Not for arrays that only a damaged file can ask for.
class WeightReader final : public ncnn::DataReader {
 public:
  explicit WeightReader(const OpenFile& file) : file_(file), left_(file.bytes) {}
  size_t read(void* target, size_t count) const override {
    const size_t read = std::fread(target, 1, std::min(count, left_), file_.file.get());
    left_ -= read;
    if (read == count) return count;
    is_short_ = true;
    if (count > kMaxScaleBytes) return read;
    std::memset(static_cast<char*>(target) + read, 0, count - read);
    return count;
  }
  size_t left() const { return left_; }
  bool is_short() const { return is_short_; }

 private:
  const OpenFile& file_;
  mutable size_t left_;
  mutable bool is_short_ = false;
};

// What ncnn allocates while it runs, by worker: kept, so that a frame allocates nothing.
struct Pools {
  struct OfWorker {
    ncnn::UnlockedPoolAllocator blobs;
    ncnn::PoolAllocator workspace;
  };
  std::vector<std::shared_ptr<OfWorker>> workers;

  const std::shared_ptr<OfWorker>& of(int worker) {
    while (workers.size() <= static_cast<size_t>(worker))
      workers.push_back(std::make_shared<OfWorker>());
    return workers[static_cast<size_t>(worker)];
  }
};

// One network with the threads that its kernels were packed for.
struct Network {
  // What one thread needs to run an item. The order of the members is that of their destruction,
  // backwards.
  struct Worker {
    std::shared_ptr<Pools::OfWorker> pools;
    std::vector<ncnn::Mat> inputs;
    std::vector<ncnn::Mat> outputs;
    std::unique_ptr<ncnn::Extractor> extractor;
    Status status;
  };
  ncnn::Net net;
  std::vector<int> input_blobs;
  std::vector<int> output_blobs;
  std::vector<std::unique_ptr<Worker>> workers;
};

class NcnnEngine final : public InferenceEngine {
 public:
  NcnnEngine(const ModelFiles& files, const EngineOptions& options, std::string param,
             std::string bin)
      : files_(files), options_(options), param_path_(std::move(param)), bin_path_(std::move(bin)) {
    if (options_.scratch == nullptr) options_.scratch = std::make_shared<EngineScratch>();
    if (options_.scratch->memory == nullptr) options_.scratch->memory = std::make_shared<Pools>();
    pools_ = std::static_pointer_cast<Pools>(options_.scratch->memory);
  }

  const std::vector<TensorSpec>& inputs() const override { return files_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return files_.outputs; }

  Status open() {
    // ncnn looks at the processor when it is first used, and does not expect two threads there.
    static const int processors = ncnn::get_cpu_count();
    static_cast<void>(processors);
    for (const TensorSpec& spec : files_.outputs) out_dims_.push_back(spec.dims);
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string param, read_file(param_path_, kMaxParamBytes));
    EDGEPOSE_RETURN_IF_ERROR(check_ncnn_param(
        param, param_path_, [](const char* type) { return ncnn::layer_to_index(type) >= 0; }));
    if (options_.threads > 1) waits_ = ShortOpenmpWaits::acquire();
    if (options_.max_batch == 1 || options_.threads == 1) {
      EDGEPOSE_ASSIGN_OR_RETURN(single_, load(param, options_.threads));
      return prepare(single_.get(), 1);
    }
    // Reading and packing the weights takes longer than a frame, and is mostly one thread's work.
    auto beside = std::async(std::launch::async, [&] { return load(param, 1); });
    EDGEPOSE_ASSIGN_OR_RETURN(single_, load(param, options_.threads));
    EDGEPOSE_ASSIGN_OR_RETURN(batched_, beside.get());
    pool_ = std::make_unique<WorkerPool>(options_.threads);
    EDGEPOSE_RETURN_IF_ERROR(prepare(single_.get(), 1));
    return prepare(batched_.get(), options_.threads);
  }

  Status run(Span<const Tensor> in, std::vector<Tensor>* out) override {
    return guarded("ncnn", [&] { return run_batch(in, out); });
  }

 private:
  struct Round {
    NcnnEngine* engine;
    Network* network;
    Span<const Tensor> in;
    std::vector<Tensor>* out;
  };

  Status run_batch(Span<const Tensor> in, std::vector<Tensor>* out) {
    EDGEPOSE_RETURN_IF_ERROR(check_inputs(files_.inputs, in));
    const int64_t batch = in[0].dim(0);
    resize_outputs(batch, &out_dims_, out);
    const int64_t in_rounds = batched_ == nullptr ? 0 : items_in_rounds(batch, options_.threads);
    if (in_rounds > 0) {
      Round round{this, batched_.get(), in, out};
      for (const auto& worker : batched_->workers) worker->status = Status();
      pool_->run(
          static_cast<int>(in_rounds),
          [](void* context, int worker, int item) {
            const Round& r = *static_cast<const Round*>(context);
            Status& status = r.network->workers[static_cast<size_t>(worker)]->status;
            if (status.ok())
              status = guarded("ncnn", [&] { return r.engine->run_item(r, worker, item); });
          },
          &round);
      for (const auto& worker : batched_->workers) EDGEPOSE_RETURN_IF_ERROR(worker->status);
    }
    const Round rest{this, single_.get(), in, out};
    for (int64_t item = in_rounds; item < batch; ++item) {
      EDGEPOSE_RETURN_IF_ERROR(run_item(rest, 0, static_cast<int>(item)));
    }
    return {};
  }

  Status failure(const std::string& what) const {
    return Status(Code::kBackendFailure, param_path_ + ": " + what, "convert the checkpoint again");
  }

  Result<std::unique_ptr<Network>> load(const std::string& param, int net_threads) const {
    auto network = std::make_unique<Network>();
    ncnn::Option& opt = network->net.opt;
    const bool half = options_.precision == "fp16";
    opt.num_threads = net_threads;
    opt.lightmode = true;
    opt.use_vulkan_compute = false;
    opt.use_fp16_packed = half;
    opt.use_fp16_storage = half;
    opt.use_fp16_arithmetic = half;
    opt.use_bf16_storage = false;
    opt.use_int8_inference = options_.precision == "int8" || options_.precision == "mixed";
    const auto* text = reinterpret_cast<const unsigned char*>(param.data());
    if (network->net.load_param(ncnn::DataReaderFromMemory(text, param.size())) != 0) {
      return failure("ncnn refuses the network");
    }
    EDGEPOSE_ASSIGN_OR_RETURN(const OpenFile bin, open_file(bin_path_, kMaxBinBytes));
    const WeightReader weights(bin);
    const int refused = network->net.load_model(weights);
    if (weights.is_short()) return failure(bin_path_ + " ends too early");
    if (refused != 0) return failure("ncnn refuses the weights");
    if (weights.left() != 0)
      return failure(bin_path_ + " has " + std::to_string(weights.left()) + " bytes too many");

    EDGEPOSE_RETURN_IF_ERROR(match("input", files_.inputs, network->net.input_names(),
                                   network->net.input_indexes(), &network->input_blobs));
    EDGEPOSE_RETURN_IF_ERROR(match("output", files_.outputs, network->net.output_names(),
                                   network->net.output_indexes(), &network->output_blobs));
    return network;
  }

  // Makes the workers of a network and lets each run once.
  Status prepare(Network* network, int workers) {
    for (int i = 0; i < workers; ++i) {
      network->workers.push_back(std::make_unique<Network::Worker>());
      // The two networks of an engine run by turns, too.
      network->workers.back()->pools = pools_->of(i);
    }
    if (workers == 1) return prepare_worker(network, network->workers[0].get());
    Round round{this, network, {}, nullptr};
    pool_->run(
        workers,
        [](void* context, int, int item) {
          const Round& r = *static_cast<const Round*>(context);
          Network::Worker* worker = r.network->workers[static_cast<size_t>(item)].get();
          worker->status =
              guarded("ncnn", [&] { return r.engine->prepare_worker(r.network, worker); });
        },
        &round);
    for (const auto& worker : network->workers) EDGEPOSE_RETURN_IF_ERROR(worker->status);
    return {};
  }

  Status match(const char* what, const std::vector<TensorSpec>& specs,
               const std::vector<const char*>& names, const std::vector<int>& indexes,
               std::vector<int>* blobs) const {
    if (names.size() != specs.size()) {
      return failure("it has " + std::to_string(names.size()) + " " + what +
                     "s, the bundle declares " + std::to_string(specs.size()));
    }
    for (const TensorSpec& spec : specs) {
      const auto found = std::find_if(names.begin(), names.end(),
                                      [&](const char* name) { return spec.tensor == name; });
      if (found == names.end())
        return failure(std::string("it has no ") + what + " \"" + spec.tensor + "\"");
      blobs->push_back(indexes[static_cast<size_t>(found - names.begin())]);
    }
    return {};
  }

  // Allocates a worker's buffers and runs zeros once: a network of other shapes is refused here,
  // and the first frame finds its memory in the pools.
  Status prepare_worker(Network* network, Network::Worker* worker) const {
    for (const TensorSpec& spec : files_.inputs) {
      ncnn::Mat mat;
      const auto d = [&spec](size_t i) { return static_cast<int>(spec.dims[i]); };
      if (spec.dims.size() == 4) mat.create(d(3), d(2), d(1));
      if (spec.dims.size() == 3) mat.create(d(2), d(1));
      if (spec.dims.size() == 2) mat.create(d(1));
      if (mat.empty())
        return failure("input \"" + spec.name + "\" has unsupported dims " + dims_text(spec.dims));
      mat.fill(0.0F);
      worker->inputs.push_back(mat);
    }
    worker->outputs.resize(files_.outputs.size());
    reset(network, worker);
    EDGEPOSE_RETURN_IF_ERROR(forward(network, worker));
    release_outputs(network, worker);
    return {};
  }

  static void reset(Network* network, Network::Worker* worker) {
    worker->extractor = std::make_unique<ncnn::Extractor>(network->net.create_extractor());
    worker->extractor->set_blob_allocator(&worker->pools->blobs);
    worker->extractor->set_workspace_allocator(&worker->pools->workspace);
  }

  Status forward(Network* network, Network::Worker* worker) const {
    for (size_t i = 0; i < worker->inputs.size(); ++i) {
      worker->extractor->input(network->input_blobs[i], worker->inputs[i]);
    }
    for (size_t o = 0; o < worker->outputs.size(); ++o) {
      if (worker->extractor->extract(network->output_blobs[o], worker->outputs[o]) != 0) {
        reset(network, worker);
        return failure("ncnn failed at output \"" + files_.outputs[o].name + "\"");
      }
      EDGEPOSE_RETURN_IF_ERROR(check_output(worker->outputs[o], files_.outputs[o]));
    }
    return {};
  }

  // Compares dims without the ones, which ncnn and pnnx drop and add freely.
  Status check_output(const ncnn::Mat& mat, const TensorSpec& spec) const {
    const int64_t actual[] = {mat.c, mat.d, mat.h, mat.w};
    int64_t have[4];
    const auto have_end =
        std::copy_if(std::begin(actual), std::end(actual), have, [](int64_t d) { return d != 1; });
    int64_t want[4];
    int64_t* want_end = want;
    for (size_t i = 1; i < spec.dims.size(); ++i) {
      if (spec.dims[i] != 1) *want_end++ = spec.dims[i];
    }
    if (mat.elemsize != sizeof(float) || mat.elempack != 1 ||
        !std::equal(have, have_end, want, want_end)) {
      return failure("output \"" + spec.name + "\" is " +
                     dims_text(std::vector<int64_t>(std::begin(actual), std::end(actual))) +
                     ", the bundle declares " + dims_text(spec.dims));
    }
    return {};
  }

  // An empty output makes the extractor compute it again: one extractor serves all frames and
  // allocates nothing.
  static void release_outputs(Network* network, Network::Worker* worker) {
    for (size_t o = 0; o < worker->outputs.size(); ++o) {
      worker->outputs[o].release();
      worker->extractor->input(network->output_blobs[o], ncnn::Mat());
    }
  }

  Status run_item(const Round& round, int worker_index, int item) const {
    Network::Worker* worker = round.network->workers[static_cast<size_t>(worker_index)].get();
    // ncnn kernels read past the end of what they are given and dereference its reference count, so
    // the picture is copied into memory of ncnn's own.
    for (size_t i = 0; i < worker->inputs.size(); ++i) {
      ncnn::Mat& mat = worker->inputs[i];
      const size_t plane = static_cast<size_t>(mat.w) * static_cast<size_t>(mat.h);
      const float* source =
          round.in[i].data() + static_cast<size_t>(item) * plane * static_cast<size_t>(mat.c);
      for (int c = 0; c < mat.c; ++c, source += plane) {
        std::memcpy(mat.channel(c), source, plane * sizeof(float));
      }
    }
    EDGEPOSE_RETURN_IF_ERROR(forward(round.network, worker));
    for (size_t o = 0; o < worker->outputs.size(); ++o) {
      const ncnn::Mat& mat = worker->outputs[o];
      const size_t plane =
          static_cast<size_t>(mat.w) * static_cast<size_t>(mat.h) * static_cast<size_t>(mat.d);
      float* target =
          (*round.out)[o].data() + static_cast<size_t>(item) * plane * static_cast<size_t>(mat.c);
      for (int c = 0; c < mat.c; ++c, target += plane) {
        std::memcpy(target, mat.channel(c), plane * sizeof(float));
      }
    }
    release_outputs(round.network, worker);
    return {};
  }

  ModelFiles files_;
  EngineOptions options_;
  std::string param_path_;
  std::string bin_path_;
  std::vector<std::vector<int64_t>> out_dims_;
  std::shared_ptr<ShortOpenmpWaits> waits_;
  std::shared_ptr<Pools> pools_;
  std::unique_ptr<Network> single_;   // all threads in one item
  std::unique_ptr<Network> batched_;  // one thread in each of several items
  std::unique_ptr<WorkerPool> pool_;
};

}  // namespace

EngineResult make_ncnn_engine(const ModelFiles& files, const EngineOptions& options) {
  if (options.device != "CPU") {
    return Status(Code::kUnsupported, "this build of ncnn has no device \"" + options.device + "\"",
                  "use CPU");
  }
  EDGEPOSE_ASSIGN_OR_RETURN(std::string param, path_of(files, "param"));
  EDGEPOSE_ASSIGN_OR_RETURN(std::string bin, path_of(files, "bin"));
  auto engine = std::make_unique<NcnnEngine>(files, options, std::move(param), std::move(bin));
  EDGEPOSE_RETURN_IF_ERROR(engine->open());
  return std::unique_ptr<InferenceEngine>(std::move(engine));
}

}  // namespace edgepose
