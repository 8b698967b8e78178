# The image holds one file.
#
#   make static                                   # writes target/static/keyfob for this machine's architecture
#   docker build -t keyfob .
#   mkdir -m 700 keyfob-home
#   docker run --rm -i --user "$(id -u):$(id -g)" -v "$PWD/keyfob-home:/data" keyfob token my-idp
#
# Mount a folder, never a single file: each update is a new file renamed over the old one, and a mount pins the old one.
# A sign-in needs no browser and no open port here: `login PROVIDER --print-auth-url` prints the URL, and
# `login --callback-url -` takes the address the browser ended on.
FROM scratch
COPY target/static/keyfob /keyfob
ENV KEYFOB_HOME=/data
VOLUME /data
ENTRYPOINT ["/keyfob"]
