#include "edgepose/status.h"

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
  if (status.message().find(folder) != std::string::npos) return status;
  return Status(status.code(), folder + ": " + status.message(), status.hint());
}

}  // namespace edgepose
