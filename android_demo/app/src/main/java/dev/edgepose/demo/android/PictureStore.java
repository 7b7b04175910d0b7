package dev.edgepose.demo.android;

import android.content.ContentResolver;
import android.content.ContentValues;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Build;
import android.os.Environment;
import android.provider.MediaStore;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;

/** The device's collection of pictures (MediaStore). */
final class PictureStore {
    private static final String FOLDER = "EdgePose";
    // Names of API 29, which the platform's library of the build does not have.
    private static final int SCOPED_STORAGE = 29;
    private static final String RELATIVE_PATH = "relative_path";
    private static final String IS_PENDING = "is_pending";

    private PictureStore() {}

    /** Before Android 10 an app needs WRITE_EXTERNAL_STORAGE to add a picture. */
    static boolean needsPermission() {
        return Build.VERSION.SDK_INT < SCOPED_STORAGE;
    }

    /**
     * Adds a picture as PNG to Pictures/EdgePose; it is there whole or not at all, but before Android 10 others see it
     * while it is written. Throws IllegalStateException, too.
     */
    static Uri add(ContentResolver resolver, Bitmap picture, String name) throws IOException {
        boolean scoped = Build.VERSION.SDK_INT >= SCOPED_STORAGE;
        ContentValues values = new ContentValues();
        values.put(MediaStore.Images.Media.DISPLAY_NAME, name);
        values.put(MediaStore.Images.Media.MIME_TYPE, "image/png");
        if (scoped) {
            values.put(RELATIVE_PATH, Environment.DIRECTORY_PICTURES + "/" + FOLDER);
            values.put(IS_PENDING, 1);
        } else {
            // Without a path, Android 8 and 9 take one of their own: Pictures/<time>.jpg.
            File folder = new File(
                    Environment.getExternalStoragePublicDirectory(Environment.DIRECTORY_PICTURES), FOLDER);
            if (!folder.isDirectory() && !folder.mkdirs()) {
                throw new IOException("the folder " + folder + " cannot be made");
            }
            values.put(MediaStore.MediaColumns.DATA, new File(folder, name).getPath());
        }
        Uri uri = resolver.insert(MediaStore.Images.Media.EXTERNAL_CONTENT_URI, values);
        if (uri == null) {
            throw new IOException("the device takes no pictures");
        }
        boolean whole = false;
        try {
            try (OutputStream out = resolver.openOutputStream(uri)) {
                if (out == null || !picture.compress(Bitmap.CompressFormat.PNG, 100, out)) {
                    throw new IOException("the picture cannot be written");
                }
            }
            if (scoped) {
                ContentValues done = new ContentValues();
                done.put(IS_PENDING, 0);
                resolver.update(uri, done, null, null);
            }
            whole = true;
        } finally {
            if (!whole) {
                resolver.delete(uri, null, null);
            }
        }
        return uri;
    }
}
