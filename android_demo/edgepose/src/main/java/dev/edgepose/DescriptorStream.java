package dev.edgepose;

import androidx.annotation.NonNull;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;

/** A part of an open file. The caller keeps the descriptor: its position is not moved, and it is not closed. */
final class DescriptorStream extends InputStream {
    private static final String HINT =
            "give the offset and length that belong to the descriptor; one that is no file (a pipe) is read through"
                    + " its InputStream";

    private final FileChannel channel;
    private final long end;
    private long position;

    /**
     * lengthBytes is -1 for "to the end of the file".
     *
     * @throws EdgePoseException INVALID_ARGUMENT for a closed descriptor, a pipe, and a part that the file does not have
     */
    DescriptorStream(FileDescriptor descriptor, long offsetBytes, long lengthBytes) throws IOException {
        if (descriptor == null || !descriptor.valid()) {
            throw new EdgePoseException(
                    EdgePoseException.Code.INVALID_ARGUMENT.number(),
                    "the file descriptor is " + (descriptor == null ? "null" : "closed"),
                    "keep the ParcelFileDescriptor open during the call");
        }
        channel = new FileInputStream(descriptor).getChannel();
        try {
            channel.position(); // a pipe has none, and its size of 0 would look like an empty file
        } catch (ClosedByInterruptException error) {
            throw error;
        } catch (IOException error) {
            throw new EdgePoseException(
                    EdgePoseException.Code.INVALID_ARGUMENT.number(),
                    "the file descriptor is of no file: " + error.getMessage(),
                    HINT);
        }
        long size = channel.size();
        position = offsetBytes;
        end = lengthBytes == -1 ? size : offsetBytes + lengthBytes;
        if (offsetBytes < 0 || lengthBytes < -1 || end < offsetBytes || end > size) {
            throw new EdgePoseException(
                    EdgePoseException.Code.INVALID_ARGUMENT.number(),
                    "the file of " + size + " bytes has no part of " + lengthBytes + " bytes at " + offsetBytes,
                    HINT);
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 255;
    }

    @Override
    public int read(@NonNull byte[] bytes, int start, int count) throws IOException {
        int most = (int) Math.min(count, end - position);
        if (most <= 0) {
            return count == 0 ? 0 : -1;
        }
        int got = channel.read(ByteBuffer.wrap(bytes, start, most), position);
        position += Math.max(got, 0);
        return got;
    }
}
