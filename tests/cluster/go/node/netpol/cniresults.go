package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// cniResults tells a pod by its address from what libcni keeps for each sandbox. The API server learns a pod's address
// only after its containers run; until then its packets would belong to nobody and no policy would hold for them.
type cniResults struct {
	folder string
	mutex  sync.Mutex
	found  map[string]sandbox
}

// sandbox is one pod, and the file that says so: gone with the pod, so an address that is used again is looked up again.
type sandbox struct{ file, pod string }

type cniResult struct {
	Args   [][2]string `json:"cniArgs"`
	Result struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
	} `json:"result"`
}

// LookupPod returns "namespace/name" of the pod with this address.
func (c *cniResults) LookupPod(ip string) (string, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if known, ok := c.found[ip]; ok {
		if _, err := os.Stat(known.file); err == nil {
			return known.pod, true
		}
	}
	c.read()
	known, ok := c.found[ip]
	return known.pod, ok
}

func (c *cniResults) read() {
	c.found = map[string]sandbox{}
	files, _ := filepath.Glob(filepath.Join(c.folder, "*-eth0"))
	for _, file := range files {
		content, err := os.ReadFile(file)
		var result cniResult
		if err != nil || json.Unmarshal(content, &result) != nil {
			continue // being written, or just removed
		}
		for _, ip := range result.Result.IPs {
			address, _, _ := strings.Cut(ip.Address, "/")
			c.found[address] = sandbox{file, result.pod()}
		}
	}
}

func (r cniResult) pod() string {
	named := map[string]string{}
	for _, arg := range r.Args {
		named[arg[0]] = arg[1]
	}
	return named["K8S_POD_NAMESPACE"] + "/" + named["K8S_POD_NAME"]
}
