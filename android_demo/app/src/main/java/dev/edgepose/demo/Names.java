package dev.edgepose.demo;

import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.TimeZone;

/** Names of what the demo writes. */
public final class Names {
    private Names() {}

    /** The folder of a bundle that came as a file: its name without the ending and what a path cannot have. */
    public static String bundle(String fileName) {
        String name = fileName == null ? "" : fileName.replaceAll("(?i)\\.zip$", "").replaceAll("[^\\w.+@-]+", "_");
        name = name.replaceAll("^\\.+", "");
        return name.isEmpty() ? "bundle" : name;
    }

    /** As a device profile of EdgePose may be called. */
    public static String device(String manufacturer, String model) {
        String name = (manufacturer + "-" + model).toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
        name = name.replaceAll("^-+|-+$", "");
        return name.isEmpty() ? "phone" : name.substring(0, Math.min(64, name.length()));
    }

    /** As edgepose bench calls its results. */
    public static String result(String bundle, String device, long timeMs) {
        return bundle + "@" + device + "." + stamp("yyyyMMdd'T'HHmmssSSS'Z'", timeMs) + ".json";
    }

    public static String snapshot(long timeMs) {
        return "edgepose-" + stamp("yyyyMMdd-HHmmss-SSS", timeMs) + ".png";
    }

    private static String stamp(String pattern, long timeMs) {
        SimpleDateFormat format = new SimpleDateFormat(pattern, Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        return format.format(new Date(timeMs));
    }
}
