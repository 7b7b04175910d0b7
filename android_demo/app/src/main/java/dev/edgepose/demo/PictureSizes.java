package dev.edgepose.demo;

/** Chooses a camera's picture size. */
public final class PictureSizes {
    private PictureSizes() {}

    /** The index of the size (width, height pairs) whose area is nearest to the wanted one; -1 for none. */
    public static int nearest(int[] sides, int wantedWidth, int wantedHeight) {
        long wanted = (long) wantedWidth * wantedHeight;
        int best = -1;
        long bestDistance = Long.MAX_VALUE;
        for (int i = 0; i + 1 < sides.length; i += 2) {
            long distance = Math.abs((long) sides[i] * sides[i + 1] - wanted);
            if (distance < bestDistance) {
                bestDistance = distance;
                best = i / 2;
            }
        }
        return best;
    }
}
