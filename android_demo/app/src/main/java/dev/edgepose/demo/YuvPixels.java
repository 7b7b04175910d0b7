package dev.edgepose.demo;

import java.nio.ByteBuffer;

/** The planes of one camera picture as upright ARGB pixels, for pictures that are kept: too slow for every frame. */
public final class YuvPixels {
    private YuvPixels() {}

    /**
     * Planes as in YUV_420_888, full range BT.601; rotationDegrees is the clockwise turn that makes the picture
     * upright (0, 90, 180 or 270).
     *
     * @return height * width pixels of the upright picture, row by row
     */
    public static int[] argb(
            ByteBuffer y,
            ByteBuffer u,
            ByteBuffer v,
            int widthPx,
            int heightPx,
            int rowStride,
            int chromaRowStride,
            int chromaPixelStride,
            int rotationDegrees) {
        int[] pixels = new int[widthPx * heightPx];
        int turns = Math.floorMod(rotationDegrees / 90, 4);
        int uprightWidth = turns % 2 == 0 ? widthPx : heightPx;
        for (int i = 0; i < pixels.length; i++) {
            int column = i % uprightWidth;
            int row = i / uprightWidth;
            int sourceX;
            int sourceY;
            switch (turns) {
                case 1:
                    sourceX = row;
                    sourceY = heightPx - 1 - column;
                    break;
                case 2:
                    sourceX = widthPx - 1 - column;
                    sourceY = heightPx - 1 - row;
                    break;
                case 3:
                    sourceX = widthPx - 1 - row;
                    sourceY = column;
                    break;
                default:
                    sourceX = column;
                    sourceY = row;
            }
            int luma = y.get(sourceY * rowStride + sourceX) & 255;
            int chroma = sourceY / 2 * chromaRowStride + sourceX / 2 * chromaPixelStride;
            float blue = (u.get(chroma) & 255) - 128;
            float red = (v.get(chroma) & 255) - 128;
            pixels[i] = 255 << 24
                    | level(luma + 1.402f * red) << 16
                    | level(luma - 0.344136f * blue - 0.714136f * red) << 8
                    | level(luma + 1.772f * blue);
        }
        return pixels;
    }

    private static int level(float value) {
        return Math.max(0, Math.min(255, Math.round(value)));
    }
}
