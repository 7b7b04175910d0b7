#include "edgepose/status.h"

#include <cstring>

namespace edgepose {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalidArgument:
      return "invalid_argument";
    case Code::kInvalidBundle:
      return "invalid_bundle";
    case Code::kChecksumMismatch:
      return "checksum_mismatch";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kBackendFailure:
      return "backend_failure";
    case Code::kIo:
      return "io";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

namespace {

// Whether a message names the folder itself, or a file in it by its path. A short name may occur anywhere.
bool names(const std::string& message, std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (message.rfind(folder + ": ", 0) == 0 || message.rfind('"' + folder + '"', 0) == 0) return true;
  const std::string inside = folder + '/';
  for (size_t at = message.find(inside); at != std::string::npos;
       at = message.find(inside, at + 1)) {
    if (at == 0 || std::strchr("/ \"", message[at - 1]) != nullptr) return true;
  }
  return false;
}

}  // namespace

Status about_bundle(const std::string& folder, Status status) {
  switch (status.code()) {
    case Code::kInvalidBundle:
    case Code::kChecksumMismatch:
    case Code::kUnsupported:
    case Code::kBackendFailure:
      break;
    default:
      return status;
  }
  if (names(status.message(), folder)) return status;
  return Status(status.code(), folder + ": " + status.message(), status.hint());
}

}  // namespace edgepose
