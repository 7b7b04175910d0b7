plugins { alias(libs.plugins.android.library) }

android {
    namespace = "dev.edgepose"
    compileSdk = libs.versions.compileSdk.get().toInt()
    ndkVersion = libs.versions.ndk.get()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
        ndk { abiFilters += "arm64-v8a" }
        externalNativeBuild {
            cmake {
                arguments += listOf(
                    // Also in a debug build of the app, which measures, too.
                    "-DCMAKE_BUILD_TYPE=Release",
                    "-DANDROID_STL=c++_static", "-DEDGEPOSE_BUILD_JNI=ON", "-DEDGEPOSE_BUILD_TOOLS=OFF",
                    "-DEDGEPOSE_BUILD_RUNNER=OFF", "-DEDGEPOSE_WITH_OPENVINO=OFF", "-DEDGEPOSE_WITH_ONNXRUNTIME=OFF",
                    // CMake asks this Python for nlohmann-json and for ncnn's sources: run `make setup` first.
                    "-DPython_EXECUTABLE=${rootDir.parentFile}/.venv/bin/python",
                )
                targets += "edgepose_jni"
            }
        }
    }
    externalNativeBuild {
        cmake {
            path = file("../../CMakeLists.txt")
            version = libs.versions.cmake.get()
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

// Kotlin reads from them what may be null.
dependencies { api(libs.androidx.annotation) }
