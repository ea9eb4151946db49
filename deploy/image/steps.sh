#!/bin/sh
# The steps of the image, by name. Run as root while it is built, by Containerfile and by tools/image_check.
set -eu
here=$(dirname "$0")
export DEBIAN_FRONTEND=noninteractive

install_debian() {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" > /dev/null
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache
}

# What every stage has, and the user that everything runs as.
packages() {
    # shellcheck disable=SC2046  # a word each
    install_debian $(sed 's/#.*//' "$here/packages.txt")
    groupadd --gid 10001 ingest
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin ingest
    install -d -o ingest -g ingest -m 0700 /var/lib/ingest
}

# What only the build has. Every dependency is a wheel, so not even the build has a compiler; binutils has `strip`.
builder() {
    install_debian python3-pip binutils
}

# pip installs into an environment that has no pip itself.
pip_install() {
    python=$1
    shift
    python3 -m pip --python "$python" install --quiet --no-cache-dir --no-compile --no-deps --only-binary :all: "$@"
}

dependencies() {
    python3 -m venv --without-pip /opt/ingest
    python3 -m venv --without-pip --copies /opt/build
    pip_install /opt/ingest/bin/python --require-hashes -r /source/requirements.lock -r /source/extras.lock
    pip_install /opt/build/bin/python --require-hashes -r /source/build.lock
}

# The project, what belongs beside it, and a bill of materials of all of it.
project() {
    cd /source
    wheels=$(/opt/build/bin/python -c "from hatchling.build import build_wheel; print(build_wheel('/source/'))")
    pip_install /opt/ingest/bin/python "/source/$wheels"
    site=$(echo /opt/ingest/lib/python3*/site-packages)
    mkdir -p /opt/ingest/share
    cp dagster.yaml requirements.lock extras.lock /opt/ingest/share/
    mkdir -p "$site/deploy"
    cp -r deploy/serverless "$site/deploy/"
    /opt/ingest/bin/python -m tools.sbom requirements.lock extras.lock > /opt/ingest/share/sbom.cdx.json
    find "$site" -type d \( -name __pycache__ -o -name tests \) -prune -exec rm -rf {} +
    sed '/^#/d' "$here/unused.txt" | while read -r unused; do
        # shellcheck disable=SC2086  # patterns
        (cd "$site" && rm -rf $unused)
    done
    find "$site" -type f \( -name '*.a' -o -name '*.h' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxi' \) -delete
    # Names for debuggers. What was patched to find its libraries (*.libs) stays as it is.
    find "$site" -name '*.so*' -type f ! -path '*.libs/*' -exec strip --strip-unneeded {} +
    # It names the folder that the project was built in.
    rm -f "$site"/ingest_assets-*.dist-info/direct_url.json
    # The root file system cannot be written to when it runs. Bytecode by content, so that a build repeats itself;
    # not of what is large, and imported by few processes or only in parts.
    rarely='/(aiohttp|apprise|boto3|botocore|dns|fastapi|google|huggingface_hub|kubernetes|paramiko|prompt_toolkit'
    rarely="$rarely"'|pyasn1_modules|pygments|sentry_sdk|wcwidth)/'
    /opt/ingest/bin/python -m compileall -q -j 0 -x "$rarely" --invalidation-mode unchecked-hash "$site" || true
}

# The last step: nothing may gain rights, and nothing is left of the build.
finish() {
    chmod 0755 /usr/local/bin/ingest-entrypoint /usr/local/bin/ingest-health
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +
    rm -rf /opt/image /root/.cache /tmp/* /var/tmp/*
}

"$1"
