#!/usr/bin/env bash
# npm run test:image [-- TARGET...]: the Dockerfile's lines, run in a Debian of their own without a container engine; the last line counts.
#   TARGET   stages of the Dockerfile; test and runtime-cpu unless told otherwise. runtime-cuda fetches 2.5 GB
# Needs root and debootstrap. What was made is in build/image/stages, with a log each; remove build/image to make all of it anew.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
run_name=test-image
source "$root/scripts/parts.sh"

[ "$(id -u)" = 0 ] || die 'npm run test:image mounts and uses chroot, which only root may'
command -v debootstrap >/dev/null || die 'missing: debootstrap; to install it, type: apt-get install -y --no-install-recommends debootstrap'
# In a mount namespace: whatever becomes of the run, no mount is left behind.
[ -n "${IMAGE_TARGETS:-}" ] || IMAGE_TARGETS="${*:-test runtime-cpu}" exec unshare --mount --propagation private "$0"

check set-up "$root/scripts/setup.sh" help
jest_tests image --selectProjects image --runInBand
sum_up
