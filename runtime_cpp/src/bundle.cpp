#include "edgepose/bundle.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>

#include "edgepose/sha256.h"
#include "json_reader.h"
#include "manifest_parts.h"

namespace edgepose {
namespace {

constexpr char kManifestName[] = "bundle.json";
constexpr char kDamagedHint[] =
    "The bundle is damaged or was changed; copy it again, or make it with edgepose convert.";
constexpr char kFolderHint[] = "Give the folder that edgepose convert wrote.";
constexpr size_t kReadBytes = 256 * 1024;

class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Status cannot_read(const std::string& path, int error) {
  return Status(Code::kIo, path + " cannot be read: " + std::strerror(error),
                "Check its permissions and the disk.");
}

Result<std::vector<std::string>> list_folder(const std::string& folder) {
  struct Close {
    void operator()(DIR* handle) const { closedir(handle); }
  };
  const std::unique_ptr<DIR, Close> handle(opendir(folder.c_str()));
  if (handle == nullptr) {
    const int error = errno;
    return Status(Code::kIo,
                  "\"" + folder + "\" cannot be opened as a bundle folder: " + std::strerror(error),
                  kFolderHint);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(handle.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) return cannot_read(folder, errno);
  std::sort(names.begin(), names.end());
  return names;
}

// Reads a regular file of the bundle, at most `limit` bytes of it, and gives every piece to `take`.
// Returns its size. The file is opened once, so that what was checked is what was read.
template <typename Take>
Result<int64_t> read_file(const std::string& folder, const std::string& name, int64_t limit,
                          Take take) {
  const std::string path = folder + "/" + name;
  // O_NONBLOCK: a named pipe in the folder must not block the caller.
  const OpenFile file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) {
    const int error = errno;
    if (error == ENOENT)
      return Status(Code::kInvalidBundle, "\"" + name + "\" is missing in " + folder, kDamagedHint);
    if (error == ELOOP || error == ENXIO) {
      return Status(Code::kInvalidBundle, "\"" + name + "\" is not a regular file", kDamagedHint);
    }
    return cannot_read(path, error);
  }
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0) return cannot_read(path, errno);
  if (!S_ISREG(facts.st_mode)) {
    return Status(Code::kInvalidBundle, "\"" + name + "\" is not a regular file", kDamagedHint);
  }
  std::vector<char> buffer(static_cast<size_t>(std::clamp<int64_t>(facts.st_size, 1, kReadBytes)));
  int64_t total = 0;
  while (total <= limit) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot_read(path, errno);
    if (count == 0) break;
    take(buffer.data(), static_cast<size_t>(count));
    total += count;
  }
  return total;
}

Result<std::string> read_text(const std::string& folder, const std::string& name) {
  std::string text;
  const auto bytes = read_file(folder, name, static_cast<int64_t>(kMaxJsonBytes),
                               [&](const char* piece, size_t count) { text.append(piece, count); });
  if (!bytes.ok()) return bytes.status();
  return text;
}

Status check_names(const std::vector<std::string>& present, const Manifest& manifest) {
  for (const std::string& name : present) {
    if (name == kManifestName || manifest.files.count(name) > 0) continue;
    return Status(Code::kInvalidBundle,
                  "the folder has \"" + name + "\", which \"files\" does not list",
                  "Remove it, or make the bundle again with edgepose convert.");
  }
  for (const auto& [name, file] : manifest.files) {
    if (std::binary_search(present.begin(), present.end(), name)) continue;
    return Status(Code::kInvalidBundle, "files[\"" + name + "\"] is missing in the folder",
                  kDamagedHint);
  }
  return Status();
}

Status check_file(const std::string& folder, const std::string& name, const Manifest::File& file) {
  struct stat facts {};
  if (lstat((folder + "/" + name).c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
      facts.st_size != file.bytes) {
    return Status(Code::kChecksumMismatch,
                  "files[\"" + name + "\"].bytes is " + std::to_string(file.bytes) +
                      ", but the file has " + std::to_string(facts.st_size),
                  kDamagedHint);
  }
  Sha256 hash;
  const auto bytes = read_file(folder, name, file.bytes,
                               [&](const char* piece, size_t count) { hash.update(piece, count); });
  if (!bytes.ok()) return bytes.status();
  const std::string actual = hash.hex_digest();
  if (bytes.value() == file.bytes && actual == file.sha256) return Status();
  return Status(Code::kChecksumMismatch,
                "files[\"" + name + "\"].sha256 is " + file.sha256 + ", but the file has " + actual,
                kDamagedHint);
}

Result<std::string> absolute_path(const std::string& folder) {
  if (folder.empty() || folder.find('\0') != std::string::npos) {
    return Status(Code::kIo, "the bundle's path is empty or has a NUL character", kFolderHint);
  }
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(folder.c_str(), nullptr),
                                                             &std::free);
  if (resolved == nullptr) {
    const int error = errno;
    return Status(Code::kIo,
                  "\"" + folder + "\" cannot be opened as a bundle folder: " + std::strerror(error),
                  kFolderHint);
  }
  return std::string(resolved.get());
}

}  // namespace

const BundleModel* Bundle::model(const std::string& role) const {
  const auto found = manifest_.models.find(role);
  return found == manifest_.models.end() ? nullptr : &found->second;
}

const KeypointSet& Bundle::keypoints() const {
  static const KeypointSet kNone{};
  if (const BundleModel* pose = model("pose")) return std::get<SimccHead>(pose->head);
  if (const BundleModel* one_stage = model("one_stage")) return std::get<RtmoHead>(one_stage->head);
  return kNone;
}

Result<Bundle> Bundle::open(const std::string& folder) {
  Result<Bundle> bundle = read(folder);
  if (!bundle.ok()) return about_bundle(folder, bundle.status());
  return bundle;
}

Result<Bundle> Bundle::read(const std::string& folder) try {
  Bundle bundle;
  EDGEPOSE_ASSIGN_OR_RETURN(bundle.path_, absolute_path(folder));
  EDGEPOSE_ASSIGN_OR_RETURN(const std::vector<std::string> present, list_folder(bundle.path_));
  if (!std::binary_search(present.begin(), present.end(), kManifestName)) {
    return Status(Code::kInvalidBundle, "\"" + folder + "\" has no bundle.json", kFolderHint);
  }
  EDGEPOSE_ASSIGN_OR_RETURN(bundle.manifest_text_, read_text(bundle.path_, kManifestName));
  EDGEPOSE_ASSIGN_OR_RETURN(bundle.manifest_, parse_manifest(bundle.manifest_text_));

  Manifest& manifest = bundle.manifest_;
  EDGEPOSE_RETURN_IF_ERROR(check_names(present, manifest));
  for (const auto& [name, file] : manifest.files) {
    EDGEPOSE_RETURN_IF_ERROR(check_file(bundle.path_, name, file));
  }
  EDGEPOSE_ASSIGN_OR_RETURN(const std::string expected,
                            read_text(bundle.path_, manifest.golden_expected));
  EDGEPOSE_RETURN_IF_ERROR(read_golden_expectation(expected, &manifest));
  const std::string prefix = bundle.path_ + "/";
  manifest.golden.picture_path = prefix + manifest.golden.picture_path;
  for (auto& [role, model] : manifest.models) {
    for (auto& [file_role, path] : model.files.paths) path = prefix + path;
  }
  return bundle;
} catch (const std::exception& error) {
  return Status(Code::kInternal, std::string("the bundle could not be read: ") + error.what(),
                "Report this as a bug, with the bundle.");
}

}  // namespace edgepose
