#!/usr/bin/env bash
# Builds and signs the demo app with Debian's tools alone: build-apk.sh [--release]. No Gradle, no Android SDK.
#   ANDROID_NDK_HOME          compiles the native library for arm64-v8a; without it the app has none and says so when it
#                             opens a bundle, and --release is refused
#   EDGEPOSE_KEYSTORE, EDGEPOSE_KEYSTORE_PASS   sign with this key (PKCS12); needed for --release
#   EDGEPOSE_ASSETS           the assets, where they are not in the sources: edgepose android install --assets
# android.jar and dx are packages of Debian 11; they are fetched with apt, into build/android.
set -euo pipefail
given_assets=${EDGEPOSE_ASSETS:+$(realpath -- "$EDGEPOSE_ASSETS")}
[[ -z "${EDGEPOSE_KEYSTORE:-}" ]] || EDGEPOSE_KEYSTORE=$(realpath -m -- "$EDGEPOSE_KEYSTORE")
[[ -z "${ANDROID_NDK_HOME:-}" ]] || ANDROID_NDK_HOME=$(realpath -m -- "$ANDROID_NDK_HOME")
CDPATH= cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
app=android_demo/app
out=build/android
min_sdk=26
target_sdk=34

fail() { echo "build-apk: $1" >&2; exit 1; }

[[ -z $given_assets || -d $given_assets ]] || fail "EDGEPOSE_ASSETS=$EDGEPOSE_ASSETS is no folder"
release=false
for argument in "$@"; do
  [[ "$argument" == --release ]] || fail "unknown argument $argument (build-apk.sh [--release])"
  release=true
done
if $release; then
  [[ -n "${ANDROID_NDK_HOME:-}" ]] || fail "a release needs the native library: set ANDROID_NDK_HOME to an Android NDK"
  [[ -n "${EDGEPOSE_KEYSTORE:-}" && -n "${EDGEPOSE_KEYSTORE_PASS:-}" ]] ||
    fail "a release needs a key of yours: set EDGEPOSE_KEYSTORE and EDGEPOSE_KEYSTORE_PASS"
fi
for tool in aapt2 apksigner apt-get dpkg-deb java javac keytool zip zipalign; do
  command -v $tool >/dev/null || fail "$tool is missing: apt-get install aapt apksigner default-jdk-headless zip zipalign"
done
framework=/usr/share/android-framework-res/framework-res.apk
[[ -e $framework ]] || fail "$framework is missing: apt-get install android-framework-res"

mkdir -p "$out"
if [[ ! -d $out/platform ]]; then
  echo "build-apk: fetching android.jar and dx from Debian 11"
  bash scripts/fetch-debian.sh bullseye amd64 "$out/platform" libandroid-23-java=6.0.1+r72-6 dalvik-exchange=10.0.0+r36-1
fi
android_jar=$out/platform/usr/share/java/com.android.android-23.jar
dx=$out/platform/usr/share/java/com.android.dx-10.0.0.jar

rm -rf "$out/work" "$out/edgepose.apk"
work=$out/work
mkdir -p "$work/gen" "$work/classes" "$work/annotations" "$work/apk"
aapt2 compile --dir $app/src/main/res -o "$work/res.zip"
# Gradle gives these two itself, and refuses a manifest that has them.
sed -e 's/<manifest /<manifest package="dev.edgepose.demo.android" /' -e 's/<application/& android:extractNativeLibs="true"/' \
  $app/src/main/AndroidManifest.xml >"$work/AndroidManifest.xml"
assets=()
assets_folder=${given_assets:-$app/src/main/assets}
[[ -d $assets_folder ]] && assets=(-A "$assets_folder")
debuggable=(--debug-mode)
$release && debuggable=()
aapt2 link -I $framework --manifest "$work/AndroidManifest.xml" --java "$work/gen" --min-sdk-version $min_sdk \
  --target-sdk-version $target_sdk "${debuggable[@]}" "${assets[@]}" -o "$work/unaligned.apk" "$work/res.zip"

mapfile -t sources < <(find android_demo/edgepose/src/main/java $app/src/main/java "$work/gen" -name '*.java')
# Only declared: what the compiler needs of AndroidX.
javac -Xlint:-options --release 8 -d "$work/annotations" android_demo/annotations/androidx/annotation/*.java
javac -Xlint:all,-options,-serial,-deprecation,-path,-classfile -Werror --release 8 -classpath "$android_jar:$work/annotations" \
  -d "$work/classes" "${sources[@]}"
# dx keeps lambdas as they are, and Android has no class that makes them at run time.
if grep -rlE 'LambdaMetafactory|StringConcatFactory' "$work/classes" >&2; then fail "these classes use lambdas"; fi
java -cp "$dx" com.android.dx.command.Main --dex --min-sdk-version=$min_sdk --output="$work/apk/classes.dex" "$work/classes"

if [[ -n "${ANDROID_NDK_HOME:-}" ]]; then
  toolchain=$ANDROID_NDK_HOME/build/cmake/android.toolchain.cmake
  [[ -e $toolchain ]] || fail "ANDROID_NDK_HOME=$ANDROID_NDK_HOME is no NDK: $toolchain is missing"
  # Stripped (-s): the NDK compiles with -g. Gradle strips by itself.
  cmake --preset jni -B "$out/arm64-v8a" -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DANDROID_ABI=arm64-v8a \
    -DANDROID_PLATFORM=android-$min_sdk -DANDROID_STL=c++_static -DEDGEPOSE_BUILD_RUNNER=OFF \
    -DCMAKE_SHARED_LINKER_FLAGS_RELEASE=-s -DPython_EXECUTABLE="$PWD/.venv/bin/python"
  cmake --build "$out/arm64-v8a" --target edgepose_jni
  mkdir -p "$work/apk/lib/arm64-v8a"
  cp "$out/arm64-v8a/runtime_cpp/libedgepose_jni.so" "$work/apk/lib/arm64-v8a/"
  # The licences of what is linked into it.
  cmake --install "$out/arm64-v8a" --component sdk --prefix "$work/apk/assets" >/dev/null
else
  echo "build-apk: ANDROID_NDK_HOME is not set: the app has no native library and will say so when it opens a bundle" >&2
fi

(cd "$work/apk" && zip -q -r ../unaligned.apk .)
zipalign -p -f 4 "$work/unaligned.apk" "$work/aligned.apk"
keystore=${EDGEPOSE_KEYSTORE:-$out/debug.p12}
pass=${EDGEPOSE_KEYSTORE_PASS:-android}
if [[ ! -e $keystore ]]; then
  [[ -z "${EDGEPOSE_KEYSTORE:-}" ]] || fail "EDGEPOSE_KEYSTORE=$keystore does not exist"
  keytool -genkeypair -keystore "$keystore" -storetype PKCS12 -storepass "$pass" -alias debug -keyalg RSA -keysize 2048 \
    -validity 9999 -dname CN=EdgePoseDebug >/dev/null 2>&1
fi
EDGEPOSE_PASS=$pass apksigner sign --ks "$keystore" --ks-pass env:EDGEPOSE_PASS --min-sdk-version $min_sdk \
  --out "$work/edgepose.apk" "$work/aligned.apk"
apksigner verify --min-sdk-version $min_sdk "$work/edgepose.apk"
mv "$work/edgepose.apk" "$out/edgepose.apk"
echo "build-apk: $out/edgepose.apk ($(stat -c %s "$out/edgepose.apk") bytes, signed and verified)"
