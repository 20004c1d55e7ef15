# source: json-c
# license: MIT
# archives: libjson-c.a
cmake -S . -B obj -DCMAKE_C_COMPILER="$CC" -DCMAKE_AR="$(command -v "$AR")" \
	-DCMAKE_RANLIB="$(command -v "$RANLIB")" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$CFLAGS" \
	-DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF -DDISABLE_EXTRA_LIBS=ON -DDISABLE_WERROR=ON
cmake --build obj --parallel "$jobs" --target json-c
cp obj/libjson-c.a "$out/lib/"
mkdir -p "$out/include/json-c"
cp ./*.h obj/json.h obj/json_config.h "$out/include/json-c/"
rm -f "$out/include/json-c/"*_private.h
