#include <cmath>
#include <set>

#include "manifest_parts.h"

namespace edgepose {
namespace {

constexpr int64_t kMaxSide = 65536;
constexpr int64_t kMaxTensorValues = int64_t{1} << 28;

std::string shown(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

std::vector<TensorSpec> read_tensors(const JsonNode& node, size_t at_least, size_t at_most,
                                     JsonReader* reader) {
  std::vector<TensorSpec> tensors;
  std::set<std::string> names, backend_names;
  for (const JsonNode& item : reader->items(node, at_least, at_most)) {
    reader->expect_members(item, {"name", "tensor", "dims"});
    TensorSpec spec;
    spec.name = reader->text(reader->member(item, "name"));
    spec.tensor = reader->text(reader->member(item, "tensor"));
    if (!names.insert(spec.name).second)
      reader->fail(item.path + ".name", "\"" + spec.name + "\" stands twice");
    if (!backend_names.insert(spec.tensor).second) {
      reader->fail(item.path + ".tensor", "\"" + spec.tensor + "\" stands twice");
    }
    int64_t values = 1;
    for (const JsonNode& dim : reader->items(reader->member(item, "dims"), 3, 4)) {
      const bool batch = spec.dims.empty();
      spec.dims.push_back(reader->integer(dim, batch ? -1 : 1, batch ? 256 : kMaxSide));
      if (batch && spec.dims[0] == 0) reader->fail(dim, "-1 for any batch, or 1 to 256");
      if (!batch) values *= spec.dims.back();  // at most (2^16)^3
      if (values > kMaxTensorValues)
        reader->fail(dim.path, "makes a tensor of more than 2^28 values");
    }
    tensors.push_back(std::move(spec));
  }
  return tensors;
}

// Holds the tensors of one model against what its head and preprocess say. 0 in an expected dim
// stands for any value.
class TensorCheck {
 public:
  TensorCheck(const JsonNode& model, const BundleModel& read, JsonReader* reader)
      : path_(model.path), files_(read.files), reader_(reader) {}

  void input(const Preprocess& preprocess) {
    const TensorSpec& spec = files_.inputs[0];
    if (spec.name != "input")
      reader_->fail(path_ + ".inputs[0].name", "is \"" + spec.name + "\"; expected \"input\"");
    compare(spec, path_ + ".inputs[0]", {3, preprocess.input_height_px, preprocess.input_width_px},
            "input_hw");
  }

  void output(const std::string& name, const std::vector<int64_t>& without_batch,
              const char* because) {
    const size_t i = next_++;
    if (i >= files_.outputs.size())
      return reader_->fail(path_ + ".outputs", "lacks \"" + name + "\"");
    const std::string path = path_ + ".outputs[" + std::to_string(i) + "]";
    if (files_.outputs[i].name != name) {
      reader_->fail(path + ".name",
                    "is \"" + files_.outputs[i].name + "\"; expected \"" + name + "\"");
    }
    compare(files_.outputs[i], path, without_batch, because);
  }

  int64_t dim(size_t output, size_t axis) const {
    const bool exists = output < files_.outputs.size() && axis < files_.outputs[output].dims.size();
    return exists ? files_.outputs[output].dims[axis] : 0;
  }

  void finish() {
    if (next_ < files_.outputs.size()) {
      reader_->fail(path_ + ".outputs[" + std::to_string(next_) + "]",
                    "(\"" + files_.outputs[next_].name + "\") is one more than the head has");
    }
  }

 private:
  void compare(const TensorSpec& spec, const std::string& path, std::vector<int64_t> dims,
               const char* because) {
    if (!reader_->ok()) return;
    dims.insert(dims.begin(), files_.inputs[0].dims[0]);
    bool same = spec.dims.size() == dims.size();
    for (size_t i = 0; same && i < dims.size(); ++i) same = dims[i] == 0 || dims[i] == spec.dims[i];
    if (same) return;
    reader_->fail(path + ".dims",
                  "is " + shown(spec.dims) + "; expected " + shown(dims) + " by " + because);
  }

  std::string path_;
  const ModelFiles& files_;
  JsonReader* reader_;
  size_t next_ = 0;
};

void check_tensors(const SimccHead& head, const JsonNode& node, const BundleModel& model,
                   JsonReader* reader) {
  TensorCheck check(node, model, reader);
  check.input(model.preprocess);
  const int64_t count = keypoint_count(model.head);
  const auto bins = [&](int side_px) {
    const float exact = static_cast<float>(side_px) * head.split_ratio;
    if (exact != std::floor(exact) || exact < 1) {
      reader->fail(node.path + ".head.split_ratio", "is " + std::to_string(head.split_ratio) +
                                                        "; it must make whole bins of " +
                                                        std::to_string(side_px) + " px");
    }
    return static_cast<int64_t>(exact);
  };
  check.output("simcc_x", {count, bins(model.preprocess.input_width_px)},
               "keypoints, input_hw and split_ratio");
  check.output("simcc_y", {count, bins(model.preprocess.input_height_px)},
               "keypoints, input_hw and split_ratio");
  if (head.has_z) check.output("simcc_z", {count, 0}, "keypoints (0: any number of bins)");
  check.finish();
}

void check_strides(const std::vector<int>& strides, const JsonNode& node,
                   const Preprocess& preprocess, JsonReader* reader) {
  for (int stride : strides) {
    if (preprocess.input_height_px % stride != 0 || preprocess.input_width_px % stride != 0) {
      reader->fail(node.path + ".preprocess.input_hw",
                   "is [" + std::to_string(preprocess.input_height_px) + ", " +
                       std::to_string(preprocess.input_width_px) +
                       "]; expected multiples of stride " + std::to_string(stride));
    }
  }
}

// The maps of one kind, for every stride: [batch, channels, height / stride, width / stride].
void check_maps(const std::string& kind, int64_t channels, const std::vector<int>& strides,
                const Preprocess& preprocess, const char* because, TensorCheck* check) {
  for (int stride : strides) {
    check->output(
        kind + "_" + std::to_string(stride),
        {channels, preprocess.input_height_px / stride, preprocess.input_width_px / stride},
        because);
  }
}

void check_tensors(const BoxHead& head, const JsonNode& node, const BundleModel& model,
                   JsonReader* reader) {
  check_strides(head.strides, node, model.preprocess, reader);
  TensorCheck check(node, model, reader);
  check.input(model.preprocess);
  check_maps("cls", static_cast<int64_t>(head.classes.size()), head.strides, model.preprocess,
             "classes, input_hw and strides", &check);
  check_maps("box", 4, head.strides, model.preprocess, "input_hw and strides", &check);
  check.finish();
}

void check_tensors(const RtmoHead& head, const JsonNode& node, const BundleModel& model,
                   JsonReader* reader) {
  check_strides(head.strides, node, model.preprocess, reader);
  TensorCheck check(node, model, reader);
  check.input(model.preprocess);
  check_maps("cls", 1, head.strides, model.preprocess, "input_hw and strides", &check);
  check_maps("box", 4, head.strides, model.preprocess, "input_hw and strides", &check);
  check_maps("vis", keypoint_count(model.head), head.strides, model.preprocess,
             "keypoints, input_hw and strides", &check);
  const int64_t pose_channels = check.dim(3 * head.strides.size(), 1);
  check_maps("pose", pose_channels, head.strides, model.preprocess,
             "the first pose map, input_hw and strides", &check);
  check.finish();
}

std::vector<std::string> file_roles(const std::string& backend) {
  if (backend == "ncnn") return {"param", "bin"};
  if (backend == "openvino") return {"xml", "bin"};
  if (backend == "onnx") return {"onnx"};
  if (backend == "rknn") return {"rknn"};
  return {"fake"};
}

void read_files(const JsonNode& node, const std::string& role, const std::string& backend,
                BundleModel* model, JsonReader* reader) {
  std::vector<std::string> needed = file_roles(backend);
  if (role == "one_stage") needed.push_back("dcc");
  for (const std::string& name : reader->member_names(node)) {
    bool known = false;
    for (const std::string& need : needed) known = known || need == name;
    if (!known)
      reader->fail(node.path + "." + name, "is not a file that backend \"" + backend + "\" has");
  }
  for (const std::string& need : needed) {
    model->files.paths[need] = reader->file_name(reader->member(node, need));
  }
}

}  // namespace

BundleModel read_model(const JsonNode& node, const std::string& role, const std::string& backend,
                       JsonReader* reader) {
  BundleModel model{};
  reader->expect_members(
      node, {"name", "family", "task", "files", "inputs", "outputs", "preprocess", "head"});
  model.name = reader->text(reader->member(node, "name"));
  reader->text(reader->member(node, "family"));
  read_files(reader->member(node, "files"), role, backend, &model, reader);
  model.files.inputs = read_tensors(reader->member(node, "inputs"), 1, 1, reader);
  model.files.outputs = read_tensors(reader->member(node, "outputs"), 2, 64, reader);
  const JsonNode preprocess = reader->member(node, "preprocess");
  model.preprocess = read_preprocess(preprocess, reader);
  const JsonNode resize = reader->member(preprocess, "resize");
  const JsonNode task = reader->member(node, "task");
  const JsonNode head = reader->member(node, "head");
  if (role == "pose") {
    reader->choice(task, {"pose"});
    reader->choice(resize, {"affine"});
    model.head = read_simcc_head(head, reader);
  } else {
    const bool detector = role == "detector";
    reader->choice(task, {detector ? "detect" : "one_stage"});
    reader->choice(resize, {"letterbox", "letterbox_centred"});
    if (detector) {
      model.head = read_box_head(head, reader);
    } else {
      model.head = read_rtmo_head(head, reader);
    }
  }
  if (reader->ok())
    std::visit([&](const auto& typed) { check_tensors(typed, node, model, reader); }, model.head);
  return model;
}

}  // namespace edgepose
