package dev.edgepose.demo.android;

import android.content.ContentResolver;
import android.content.Intent;
import android.database.Cursor;
import android.net.Uri;
import android.provider.OpenableColumns;
import dev.edgepose.demo.BundleChoices;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Files that the user chooses with the system's picker (Storage Access Framework); no permission is needed. */
final class Documents {
    private Documents() {}

    /** Asks for a bundle as ZIP file. */
    static Intent chooseBundle() {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        intent.setType("*/*");
        // Some providers do not know a ZIP file when they see one.
        intent.putExtra(Intent.EXTRA_MIME_TYPES, new String[] {
            "application/zip", "application/x-zip-compressed", "application/octet-stream"
        });
        return intent;
    }

    /** Asks where to save a result. */
    static Intent chooseResult(String name) {
        Intent intent = new Intent(Intent.ACTION_CREATE_DOCUMENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        intent.setType("application/json");
        intent.putExtra(Intent.EXTRA_TITLE, name);
        return intent;
    }

    /** Takes a chosen bundle over; gives its name. Throws EdgePoseException, too. */
    static String addBundle(ContentResolver resolver, Uri uri, BundleChoices choices) throws IOException {
        try (InputStream in = resolver.openInputStream(uri)) {
            if (in == null) {
                throw new IOException("the file cannot be opened");
            }
            return choices.add(in, displayName(resolver, uri));
        }
    }

    static void copy(ContentResolver resolver, File file, Uri uri) throws IOException {
        // Since Android 10 the mode "w" leaves the end of a longer file that is replaced.
        try (InputStream in = new FileInputStream(file);
                OutputStream out = resolver.openOutputStream(uri, "wt")) {
            if (out == null) {
                throw new IOException("the file cannot be written");
            }
            byte[] buffer = new byte[1 << 16];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                out.write(buffer, 0, count);
            }
        }
    }

    private static String displayName(ContentResolver resolver, Uri uri) {
        String[] wanted = {OpenableColumns.DISPLAY_NAME};
        try (Cursor cursor = resolver.query(uri, wanted, null, null, null)) {
            return cursor != null && cursor.moveToFirst() ? cursor.getString(0) : uri.getLastPathSegment();
        }
    }
}
