package dev.edgepose.demo.android;

import android.content.Context;
import android.graphics.ImageFormat;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.util.Size;
import android.view.Surface;
import dev.edgepose.CameraFrame;
import dev.edgepose.demo.PictureSizes;
import dev.edgepose.demo.PreviewGeometry;
import dev.edgepose.demo.YuvPixels;
import java.util.Arrays;

/**
 * One camera: a preview on a texture, and its frames as planes. All callbacks come on the given handler. A thread of
 * its own takes the pictures meanwhile: a reader that nobody empties would stop the camera, and the preview with it.
 */
final class Camera implements ImageReader.OnImageAvailableListener {
    interface Listener {
        /** Size and side of what open() opens; there may be no camera of the wanted ones. */
        void onChosen(PreviewGeometry geometry);

        /** The picture is valid during the call only. */
        void onFrame(CameraFrame picture);

        void onFailure(String message);
    }

    private static final int WIDTH = 1280;
    private static final int HEIGHT = 720;
    /** One with the networks, one that waits for them, and two more that acquireLatestImage() needs. */
    private static final int IMAGES = 4;

    private final CameraManager manager;
    private final Handler handler;
    private final Listener listener;
    private final CameraFrame picture = new CameraFrame();
    private PreviewGeometry geometry;
    private Image current;
    private final HandlerThread frames = new HandlerThread("frames");
    private final Object lock = new Object();
    /** Waits for the networks; guarded by the lock, as are the reader's own calls. */
    private Image newest;
    private CameraDevice device;
    private SurfaceTexture texture;
    private ImageReader reader;
    private Surface preview;
    private volatile boolean closed;

    Camera(Context context, Handler handler, Listener listener) {
        this.manager = (CameraManager) context.getSystemService(Context.CAMERA_SERVICE);
        this.handler = handler;
        this.listener = listener;
    }

    /** The camera that faces the wanted way, or any; null where the device has none. */
    String find(boolean front) throws CameraAccessException {
        int wanted = front ? CameraCharacteristics.LENS_FACING_FRONT : CameraCharacteristics.LENS_FACING_BACK;
        String[] ids = manager.getCameraIdList();
        for (String id : ids) {
            Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
            if (facing != null && facing == wanted) {
                return id;
            }
        }
        return ids.length > 0 ? ids[0] : null;
    }

    /** Needs the permission CAMERA. displayDegrees as in {@link dev.edgepose.demo.CameraRotation#degrees}. */
    void open(String id, SurfaceTexture target, int displayDegrees) throws CameraAccessException {
        CameraCharacteristics facts = manager.getCameraCharacteristics(id);
        Integer facing = facts.get(CameraCharacteristics.LENS_FACING);
        Integer sensor = facts.get(CameraCharacteristics.SENSOR_ORIENTATION);
        boolean front = facing != null && facing == CameraCharacteristics.LENS_FACING_FRONT;
        StreamConfigurationMap streams = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
        Size[] sizes = streams == null ? null : streams.getOutputSizes(ImageFormat.YUV_420_888);
        if (sizes == null || sizes.length == 0) {
            listener.onFailure("The camera " + id + " gives no YUV pictures.");
            return;
        }
        int[] sides = new int[2 * sizes.length];
        for (int i = 0; i < sizes.length; i++) {
            sides[2 * i] = sizes[i].getWidth();
            sides[2 * i + 1] = sizes[i].getHeight();
        }
        Size size = sizes[PictureSizes.nearest(sides, WIDTH, HEIGHT)];
        geometry = new PreviewGeometry(
                size.getWidth(), size.getHeight(), sensor == null ? 90 : sensor, displayDegrees, front);
        picture.rotation(geometry.rotationDegrees);
        listener.onChosen(geometry);
        reader = ImageReader.newInstance(size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, IMAGES);
        frames.start();
        reader.setOnImageAvailableListener(this, new Handler(frames.getLooper()));
        texture = target;
        preview = new Surface(texture);
        try {
            manager.openCamera(id, new DeviceCallback(), handler);
        } catch (SecurityException denied) {
            listener.onFailure("The app may not use the camera.");
        }
    }

    /** On the thread of the frames. What came while the networks were busy is dropped. */
    @Override
    public void onImageAvailable(ImageReader source) {
        synchronized (lock) {
            if (closed) {
                return;
            }
            // None where the last call has taken this one's picture, too: the one that waits stays.
            Image next = source.acquireLatestImage();
            if (next == null) {
                return;
            }
            boolean waits = newest != null;
            if (waits) {
                newest.close();
            }
            newest = next;
            if (!waits) {
                handler.post(new Runnable() {
                    @Override
                    public void run() {
                        process();
                    }
                });
            }
        }
    }

    private Image take() {
        synchronized (lock) {
            Image image = newest;
            newest = null;
            return image;
        }
    }

    private void process() {
        try (Image image = take()) {
            if (image == null || closed) {
                return;
            }
            Image.Plane[] planes = image.getPlanes();
            picture.yuv420(
                            planes[0].getBuffer(),
                            planes[1].getBuffer(),
                            planes[2].getBuffer(),
                            image.getWidth(),
                            image.getHeight(),
                            planes[0].getRowStride(),
                            planes[1].getRowStride(),
                            planes[1].getPixelStride())
                    .timeNs(image.getTimestamp());
            current = image;
            listener.onFrame(picture);
        } finally {
            current = null;
        }
    }

    /** The upright pixels of the picture that {@link Listener#onFrame} has; only during that call. */
    int[] argb() {
        Image.Plane[] planes = current.getPlanes();
        return YuvPixels.argb(
                planes[0].getBuffer(),
                planes[1].getBuffer(),
                planes[2].getBuffer(),
                current.getWidth(),
                current.getHeight(),
                planes[0].getRowStride(),
                planes[1].getRowStride(),
                planes[1].getPixelStride(),
                geometry.rotationDegrees);
    }

    /** A camera that is still being opened closes when it answers, so the handler's queue must not end before that. */
    void close() {
        closed = true;
        frames.quitSafely();
        if (device != null) {
            device.close();
        }
        synchronized (lock) {
            if (newest != null) {
                newest.close();
                newest = null;
            }
            if (reader != null) {
                reader.close();
            }
        }
        if (preview != null) {
            preview.release();
        }
    }

    private final class DeviceCallback extends CameraDevice.StateCallback {
        @Override
        public void onOpened(CameraDevice opened) {
            if (closed) {
                opened.close();
                return;
            }
            device = opened;
            // Here, just before it counts: a texture view sets its own size whenever its layout changes.
            texture.setDefaultBufferSize(geometry.bufferWidthPx, geometry.bufferHeightPx);
            try {
                device.createCaptureSession(
                        Arrays.asList(preview, reader.getSurface()), new SessionCallback(), handler);
            } catch (CameraAccessException | IllegalArgumentException error) {
                listener.onFailure("The camera cannot be started: " + error.getMessage());
            }
        }

        @Override
        public void onDisconnected(CameraDevice lost) {
            lost.close();
            listener.onFailure("Another app took the camera.");
        }

        @Override
        public void onError(CameraDevice broken, int error) {
            broken.close();
            listener.onFailure("The camera failed (error " + error + ").");
        }
    }

    private final class SessionCallback extends CameraCaptureSession.StateCallback {
        @Override
        public void onConfigured(CameraCaptureSession session) {
            if (closed) {
                return;
            }
            try {
                CaptureRequest.Builder request = device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
                request.addTarget(preview);
                request.addTarget(reader.getSurface());
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO);
                session.setRepeatingRequest(request.build(), null, handler);
            } catch (CameraAccessException | IllegalStateException error) {
                listener.onFailure("The camera cannot be started: " + error.getMessage());
            }
        }

        @Override
        public void onConfigureFailed(CameraCaptureSession session) {
            listener.onFailure("The camera cannot give a preview and pictures at once.");
        }
    }
}
