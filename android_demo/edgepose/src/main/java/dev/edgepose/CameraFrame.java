package dev.edgepose;

import androidx.annotation.NonNull;
import java.nio.ByteBuffer;

/**
 * A borrowed picture: where its pixels lie, and how it is turned. One instance serves all frames; a call of
 * {@link PoseSession#process} reads the buffers and keeps nothing. Buffers must be direct; they count from index
 * 0 to their capacity, whatever their position is.
 */
public final class CameraFrame {
    /** How YUV becomes RGB. BT601_FULL is what Android's cameras deliver. */
    public enum Colour {
        BT601_FULL,
        BT601_LIMITED,
        BT709_LIMITED
    }

    static final int BGR = 0;
    static final int RGB = 1;
    static final int RGBA = 3;
    static final int NV12 = 4;
    static final int NV21 = 5;
    static final int YUV420 = 6;

    ByteBuffer data;
    ByteBuffer u;
    ByteBuffer v;
    int format;
    int widthPx;
    int heightPx;
    int rowStrideBytes;
    int chromaRowStrideBytes;
    int chromaPixelStrideBytes;
    int colour;
    int rotationDegrees;
    boolean mirrored;
    long timeNs;

    /** The three planes of an android.media.Image in YUV_420_888. */
    @NonNull
    public CameraFrame yuv420(
            @NonNull ByteBuffer y,
            @NonNull ByteBuffer u,
            @NonNull ByteBuffer v,
            int widthPx,
            int heightPx,
            int rowStrideBytes,
            int chromaRowStrideBytes,
            int chromaPixelStrideBytes) {
        set(YUV420, y, u, v, widthPx, heightPx, rowStrideBytes);
        this.chromaRowStrideBytes = chromaRowStrideBytes;
        this.chromaPixelStrideBytes = chromaPixelStrideBytes;
        return this;
    }

    /** A luma plane and one of interleaved U, V pairs. */
    @NonNull
    public CameraFrame nv12(
            @NonNull ByteBuffer y,
            @NonNull ByteBuffer uv,
            int widthPx,
            int heightPx,
            int rowStrideBytes,
            int chromaRowStrideBytes) {
        set(NV12, y, uv, null, widthPx, heightPx, rowStrideBytes);
        this.chromaRowStrideBytes = chromaRowStrideBytes;
        return this;
    }

    /** A luma plane and one of interleaved V, U pairs. */
    @NonNull
    public CameraFrame nv21(
            @NonNull ByteBuffer y,
            @NonNull ByteBuffer vu,
            int widthPx,
            int heightPx,
            int rowStrideBytes,
            int chromaRowStrideBytes) {
        set(NV21, y, vu, null, widthPx, heightPx, rowStrideBytes);
        this.chromaRowStrideBytes = chromaRowStrideBytes;
        return this;
    }

    /** Four bytes a pixel, as Bitmap.copyPixelsToBuffer writes a bitmap in ARGB_8888. */
    @NonNull
    public CameraFrame rgba(@NonNull ByteBuffer pixels, int widthPx, int heightPx, int rowStrideBytes) {
        return set(RGBA, pixels, null, null, widthPx, heightPx, rowStrideBytes);
    }

    /** Three bytes a pixel. */
    @NonNull
    public CameraFrame rgb(@NonNull ByteBuffer pixels, int widthPx, int heightPx, int rowStrideBytes) {
        return set(RGB, pixels, null, null, widthPx, heightPx, rowStrideBytes);
    }

    /** Three bytes a pixel, blue first. */
    @NonNull
    public CameraFrame bgr(@NonNull ByteBuffer pixels, int widthPx, int heightPx, int rowStrideBytes) {
        return set(BGR, pixels, null, null, widthPx, heightPx, rowStrideBytes);
    }

    /** The clockwise turn that makes the picture upright: 0, 90, 180 or 270. Results refer to the upright picture. */
    @NonNull
    public CameraFrame rotation(int degrees) {
        this.rotationDegrees = degrees;
        return this;
    }

    /**
     * Flips the upright picture left to right before the networks see it. A network then takes a left hand for a
     * right one: for a selfie view leave this off, and mirror what is drawn instead.
     */
    @NonNull
    public CameraFrame mirrored(boolean flip) {
        this.mirrored = flip;
        return this;
    }

    @NonNull
    public CameraFrame colour(@NonNull Colour standard) {
        this.colour = standard.ordinal();
        return this;
    }

    /** When the picture was taken, on any clock that does not run backwards. */
    @NonNull
    public CameraFrame timeNs(long time) {
        this.timeNs = time;
        return this;
    }

    public long timeNs() {
        return timeNs;
    }

    private CameraFrame set(
            int newFormat, ByteBuffer first, ByteBuffer second, ByteBuffer third, int width, int height, int stride) {
        format = newFormat;
        data = first;
        u = second;
        v = third;
        widthPx = width;
        heightPx = height;
        rowStrideBytes = stride;
        chromaRowStrideBytes = 0;
        chromaPixelStrideBytes = 0;
        return this;
    }
}
