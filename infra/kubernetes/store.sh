#!/bin/sh
# Start SeaweedFS with one key pair, that of the environment; requests with another one are refused.
set -eu
cat > /tmp/s3.json <<END
{"identities": [{"name": "tunesmith", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}]}]}
END
exec weed server -dir=/data -ip.bind=0.0.0.0 -filer -s3 -s3.config=/tmp/s3.json
