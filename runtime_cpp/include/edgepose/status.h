#ifndef EDGEPOSE_STATUS_H_
#define EDGEPOSE_STATUS_H_

#include <string>
#include <utility>
#include <variant>

namespace edgepose {

// The numbers are part of the ABI: Python and Java map them to exceptions.
enum class Code : int {
  kOk = 0,
  kInvalidArgument = 1,
  kInvalidBundle = 2,
  kChecksumMismatch = 3,
  kUnsupported = 4,
  kBackendFailure = 5,
  kIo = 6,
  kInternal = 7,
};

// Returns the stable snake_case name of a code, for example "invalid_bundle".
const char* code_name(Code code);

// What happened, and what the caller can do about it. The library reports failures this way only:
// it never throws, prints or aborts.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, std::string hint = {})
      : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
  std::string hint_;
};

// Returns the status with the bundle's folder in front of its message, where what is wrong is the
// bundle or an engine with it and the message does not have the folder yet.
Status about_bundle(const std::string& folder, Status status);

// A value or the status that explains its absence.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : data_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : data_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(data_); }
  Status status() const { return ok() ? Status() : std::get<Status>(data_); }
  T& value() & { return std::get<T>(data_); }
  const T& value() const& { return std::get<T>(data_); }
  T&& value() && { return std::get<T>(std::move(data_)); }

 private:
  std::variant<Status, T> data_;
};

}  // namespace edgepose

#define EDGEPOSE_CONCAT_INNER(a, b) a##b
#define EDGEPOSE_CONCAT(a, b) EDGEPOSE_CONCAT_INNER(a, b)

#define EDGEPOSE_RETURN_IF_ERROR(expr)                   \
  do {                                                   \
    ::edgepose::Status edgepose_status_ = (expr);        \
    if (!edgepose_status_.ok()) return edgepose_status_; \
  } while (false)

#define EDGEPOSE_ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                                   \
  if (!result.ok()) return result.status();               \
  lhs = std::move(result).value()

#define EDGEPOSE_ASSIGN_OR_RETURN(lhs, expr) \
  EDGEPOSE_ASSIGN_OR_RETURN_IMPL(EDGEPOSE_CONCAT(edgepose_result_, __LINE__), lhs, expr)

#endif  // EDGEPOSE_STATUS_H_
