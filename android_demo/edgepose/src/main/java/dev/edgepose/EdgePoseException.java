package dev.edgepose;

import androidx.annotation.NonNull;

/** A failure that the caller can act on: what happened, and what can be done about it. */
public final class EdgePoseException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The kinds of failure. The numbers are those of the C++ library, of Python and of the C interface. */
    public enum Code {
        OK,
        INVALID_ARGUMENT,
        INVALID_BUNDLE,
        CHECKSUM_MISMATCH,
        UNSUPPORTED,
        BACKEND_FAILURE,
        IO,
        INTERNAL;

        public int number() {
            return ordinal();
        }
    }

    private final Code code;
    private final String hint;

    /** Called by the native library; a number without a code counts as INTERNAL. */
    EdgePoseException(int number, String message, String hint) {
        super(message);
        Code[] codes = Code.values();
        this.code = number >= 0 && number < codes.length ? codes[number] : Code.INTERNAL;
        this.hint = hint == null ? "" : hint;
    }

    EdgePoseException(Code code, String message, String hint, Throwable cause) {
        this(code.number(), message, hint);
        initCause(cause);
    }

    @NonNull
    public Code code() {
        return code;
    }

    /** What can be done about it; empty where nothing better than the message is known. */
    @NonNull
    public String hint() {
        return hint;
    }
}
