#!/bin/sh
# Runs every libFuzzer target for so many seconds on a copy of its corpus: run.sh BUILD_FOLDER SECONDS [KEEP_FOLDER]
# What is new and interesting goes into KEEP_FOLDER/TARGET where that is given; a crash is kept beside the build.
set -eu
build=$1 seconds=$2 keep=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
for corpus in "$here"/corpus/*/; do
    name=$(basename "$corpus")
    found=${keep:-$build/found}/$name
    mkdir -p "$found"
    echo "fuzz_$name for $seconds s"
    "$build/fuzz_$name" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$build/crash-$name-" "$found" "$corpus" 2>"$build/fuzz_$name.log" ||
        { tail -n 40 "$build/fuzz_$name.log"; exit 1; }
    grep -h 'stat::number_of_executed_units' "$build/fuzz_$name.log"
done
