// Package catalog has the facts that AWS publishes to every account: regions and zones, public machine images, and
// instance types. EC2 and SSM answer from the same tables, as on AWS.
package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// CanonicalAccount owns Ubuntu's images.
const CanonicalAccount = "099720109477"

// Architectures as EC2 names them.
const (
	X8664 = "x86_64"
	ARM64 = "arm64"
)

// Zone is one availability zone.
type Zone struct {
	Name, ID, Region string
}

// zoneLetters and zoneIDs: zone ids differ from account to account; these are fixed for the lab.
var regionZones = map[string]struct {
	prefix, letters string
	ids             []int
}{
	"eu-central-1": {"euc1", "abc", []int{2, 3, 1}},
	"eu-west-1":    {"euw1", "abc", []int{3, 1, 2}},
	"eu-north-1":   {"eun1", "abc", []int{1, 2, 3}},
	"us-east-1":    {"use1", "abcdef", []int{6, 1, 2, 4, 3, 5}},
	"us-east-2":    {"use2", "abc", []int{1, 2, 3}},
	"us-west-2":    {"usw2", "abcd", []int{1, 2, 3, 4}},
}

// Zones returns the zones of a region in the order of their names. A region outside the table has a, b and c.
func Zones(region string) []Zone {
	r, ok := regionZones[region]
	if !ok {
		r.prefix, r.letters, r.ids = strings.ReplaceAll(region, "-", ""), "abc", []int{1, 2, 3}
	}
	out := make([]Zone, 0, len(r.letters))
	for i, letter := range r.letters {
		out = append(out, Zone{Name: region + string(letter), ID: fmt.Sprintf("%s-az%d", r.prefix, r.ids[i]), Region: region})
	}
	return out
}

// FindZone returns the zone of a region by name or id.
func FindZone(region, nameOrID string) (Zone, bool) {
	for _, z := range Zones(region) {
		if z.Name == nameOrID || z.ID == nameOrID {
			return z, true
		}
	}
	return Zone{}, false
}

// Image is a public machine image.
type Image struct {
	ID, Name, Description, Owner, Architecture string
	RootDevice, SnapshotID                     string
	RootGiB                                    int
	Created                                    string // ISO 8601
	// Parameter is the path below /aws/service/canonical/ubuntu/server/ ("24.04") of the series.
	Series, Codename string
}

// ubuntu lists the series in the lab; Created is the build's date.
var ubuntu = []struct{ series, codename, serial string }{
	{"22.04", "jammy", "20260320"},
	{"24.04", "noble", "20260405"},
}

// Images returns the public images of a region. Ids are stable for a region and an architecture.
func Images(region string) []Image {
	var out []Image
	for _, u := range ubuntu {
		for _, arch := range []string{X8664, ARM64} {
			short := Short(arch)
			kind := "hvm-ssd-gp3"
			if u.series == "22.04" {
				kind = "hvm-ssd"
			}
			name := fmt.Sprintf("ubuntu/images/%s/ubuntu-%s-%s-%s-server-%s", kind, u.codename, u.series, short, u.serial)
			out = append(out, Image{
				ID: "ami-" + digest(region, name), Name: name, Owner: CanonicalAccount, Architecture: arch,
				Description: fmt.Sprintf("Canonical, Ubuntu, %s, %s %s image", u.series, short, u.codename),
				RootDevice:  "/dev/sda1", SnapshotID: "snap-" + digest(region, name, "root"), RootGiB: 8,
				Created: u.serial[:4] + "-" + u.serial[4:6] + "-" + u.serial[6:] + "T09:41:18.000Z",
				Series:  u.series, Codename: u.codename,
			})
		}
	}
	return out
}

// FindImage returns an image of a region by id.
func FindImage(region, id string) (Image, bool) {
	for _, i := range Images(region) {
		if i.ID == id {
			return i, true
		}
	}
	return Image{}, false
}

// Short is the architecture as Debian and Ubuntu name it: amd64 or arm64.
func Short(arch string) string {
	if arch == X8664 {
		return "amd64"
	}
	return "arm64"
}

// PublicParameters are the SSM public parameters of a region: name to value.
func PublicParameters(region string) map[string]string {
	out := map[string]string{}
	for _, i := range Images(region) {
		volume := "ebs-gp3"
		if i.Series == "22.04" {
			volume = "ebs-gp2"
		}
		for _, series := range []string{i.Series, i.Codename} {
			base := fmt.Sprintf("/aws/service/canonical/ubuntu/server/%s/stable/", series)
			serial := i.Name[strings.LastIndex(i.Name, "-")+1:]
			for _, release := range []string{"current", serial} {
				out[fmt.Sprintf("%s%s/%s/hvm/%s/ami-id", base, release, Short(i.Architecture), volume)] = i.ID
			}
		}
	}
	return out
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:17]
}

// InstanceType is what the lab knows of an instance type.
type InstanceType struct {
	Name, Architecture, Manufacturer string
	VCPUs, ThreadsPerCore, MemoryMiB int
	Burstable                        bool
	MaxInterfaces, AddressesPerENI   int
	Performance                      string
	ClockGHz                         float64
}

// family is one instance family; sizes map a size to vCPUs.
type family struct {
	name, arch, maker string
	gibPerVCPU        int
	burstable         bool
	clock             float64
}

var families = []family{
	{"c6g", ARM64, "AWS", 2, false, 2.5}, {"c6i", X8664, "Intel", 2, false, 3.5}, {"c7g", ARM64, "AWS", 2, false, 2.6},
	{"c7i", X8664, "Intel", 2, false, 3.2}, {"c8g", ARM64, "AWS", 2, false, 2.8}, {"m5", X8664, "Intel", 4, false, 3.1},
	{"m6a", X8664, "AMD", 4, false, 3.6}, {"m6g", ARM64, "AWS", 4, false, 2.5}, {"m6i", X8664, "Intel", 4, false, 3.5},
	{"m7a", X8664, "AMD", 4, false, 3.7}, {"m7g", ARM64, "AWS", 4, false, 2.6}, {"m7i", X8664, "Intel", 4, false, 3.2},
	{"m8g", ARM64, "AWS", 4, false, 2.8}, {"r6g", ARM64, "AWS", 8, false, 2.5}, {"r6i", X8664, "Intel", 8, false, 3.5},
	{"r7g", ARM64, "AWS", 8, false, 2.6}, {"r7i", X8664, "Intel", 8, false, 3.2},
}

var (
	fixedSizes = []struct {
		name  string
		vcpus int
	}{{"large", 2}, {"xlarge", 4}, {"2xlarge", 8}, {"4xlarge", 16}}
	// burstSizes of t3, t3a and t4g: vCPUs and MiB, maximal interfaces and addresses an interface (EC2 User Guide).
	burstSizes = []struct {
		name                 string
		vcpus, mib, eni, ips int
	}{
		{"nano", 2, 512, 2, 2}, {"micro", 2, 1024, 2, 2}, {"small", 2, 2048, 3, 4}, {"medium", 2, 4096, 3, 6},
		{"large", 2, 8192, 3, 12}, {"xlarge", 4, 16384, 4, 15}, {"2xlarge", 8, 32768, 4, 15},
	}
)

// InstanceTypes returns the table, sorted by family then size.
func InstanceTypes() []InstanceType {
	var out []InstanceType
	for _, f := range families {
		for _, s := range fixedSizes {
			t := InstanceType{Name: f.name + "." + s.name, Architecture: f.arch, Manufacturer: f.maker, VCPUs: s.vcpus,
				ThreadsPerCore: 2, MemoryMiB: s.vcpus * f.gibPerVCPU * 1024, MaxInterfaces: 3, AddressesPerENI: 10,
				Performance: "Up to 12.5 Gigabit", ClockGHz: f.clock}
			if s.vcpus > 2 {
				t.MaxInterfaces, t.AddressesPerENI = 4, 15
			}
			if s.vcpus > 8 {
				t.MaxInterfaces, t.AddressesPerENI = 8, 30
			}
			if f.arch == ARM64 || f.name == "m7a" {
				t.ThreadsPerCore = 1
			}
			out = append(out, t)
		}
	}
	for _, f := range []family{{"t3", X8664, "Intel", 0, true, 2.5}, {"t3a", X8664, "AMD", 0, true, 2.2}, {"t4g", ARM64, "AWS", 0, true, 2.5}} {
		for _, s := range burstSizes {
			t := InstanceType{Name: f.name + "." + s.name, Architecture: f.arch, Manufacturer: f.maker, VCPUs: s.vcpus,
				ThreadsPerCore: 2, MemoryMiB: s.mib, Burstable: true, MaxInterfaces: s.eni, AddressesPerENI: s.ips,
				Performance: "Up to 5 Gigabit", ClockGHz: f.clock}
			if f.arch == ARM64 {
				t.ThreadsPerCore = 1
			}
			out = append(out, t)
		}
	}
	return out
}

// FindInstanceType returns a type by name.
func FindInstanceType(name string) (InstanceType, bool) {
	for _, t := range InstanceTypes() {
		if t.Name == name {
			return t, true
		}
	}
	return InstanceType{}, false
}
