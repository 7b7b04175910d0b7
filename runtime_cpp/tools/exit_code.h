#ifndef EDGEPOSE_TOOLS_EXIT_CODE_H_
#define EDGEPOSE_TOOLS_EXIT_CODE_H_

#include <cstdio>
#include <string>

#include "edgepose/status.h"

namespace edgepose::tools {

constexpr int kUsageExit = 2;
constexpr int kIoExit = 3;
constexpr int kVerificationExit = 7;

// The exit code that belongs to a status; edgepose/errors.py has the same table.
inline int exit_code(Code code) {
  switch (code) {
    case Code::kOk:
      return 0;
    case Code::kInvalidArgument:
      return kUsageExit;
    case Code::kInvalidBundle:
    case Code::kChecksumMismatch:
      return kVerificationExit;
    case Code::kUnsupported:
      return 4;
    case Code::kBackendFailure:
      return 9;
    case Code::kIo:
      return kIoExit;
    case Code::kInternal:
      break;
  }
  return 1;
}

// Writes what went wrong to standard error, in one line; returns the exit code.
inline int report(const char* program, const Status& status) {
  const std::string hint = status.hint().empty() ? "" : " (" + status.hint() + ")";
  std::fprintf(stderr, "%s: %s%s\n", program, status.message().c_str(), hint.c_str());
  return exit_code(status.code());
}

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_EXIT_CODE_H_
