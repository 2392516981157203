#!/bin/sh
# Runs every libFuzzer target for so many seconds on a copy of its corpus: run.sh BUILD_FOLDER SECONDS [KEEP_FOLDER]
# What is new and interesting goes into KEEP_FOLDER/TARGET where that is given; a crash is kept beside the build. As many
# run at a time as there are processors; after a failure no further one begins.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if [ "$1" != --one ]; then
    ls "$here/corpus" | xargs -n 1 -P "$(nproc)" "$0" --one "$1" "$2" "${3:-$1/found}"
    exit
fi

build=$2 seconds=$3 found=$4/$5 name=$5
mkdir -p "$found"
"$build/fuzz_$name" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$build/crash-$name-" "$found" "$here/corpus/$name" 2>"$build/fuzz_$name.log" ||
    { echo "fuzz_$name failed:"; tail -n 40 "$build/fuzz_$name.log"; exit 255; }
echo "fuzz_$name for $seconds s: $(grep -h 'stat::number_of_executed_units' "$build/fuzz_$name.log")"
