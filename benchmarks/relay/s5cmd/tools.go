package tools

import _ "github.com/peak/s5cmd/v2/command"
