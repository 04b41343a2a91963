#!/bin/sh
# Makes an archive of the native parts for machines without Rust, and its checksum: `make dist'.
# Add the line of the checksum file to prebuilt.sha256, in the repository that uses the archive.
# Usage: dist.sh FOLDER
set -eu
folder=$1
cd -P "$(dirname "$0")/.."
. native/prebuilt.sh

unset HEP_PREBUILT
sh native/build.sh
mkdir -p "$folder"
name=$(archive_name)
(cd priv && tar -cf - hep_nif.* hep_port*) | gzip -9n >"$folder/$name"
printf '%s  %s\n' "$(sha256 "$folder/$name")" "$name" >"$folder/$name.sha256"
say "$folder/$name"
