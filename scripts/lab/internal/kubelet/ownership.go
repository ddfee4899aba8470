package kubelet

import (
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// A sandbox maps one user, so every file of a volume belongs to the container's user, whoever that is. What a kubelet's
// ownership would have meant is kept by giving the owner the permissions of the class (owner, group or others) in which
// the container's user would have been: a Secret with mode 0400 stays unreadable for a user that is not root and has no
// fsGroup.

// identity is who a container's process is.
type identity struct{ uid, gid int64 }

// containerIdentity is the user and group that a container runs as.
func containerIdentity(pod *corev1.Pod, c *corev1.Container, image Image) identity {
	id := identity{uid: image.User}
	if s := pod.Spec.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			id.uid = *s.RunAsUser
		}
		if s.RunAsGroup != nil {
			id.gid = *s.RunAsGroup
		}
	}
	if s := c.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			id.uid = *s.RunAsUser
		}
		if s.RunAsGroup != nil {
			id.gid = *s.RunAsGroup
		}
	}
	return id
}

// verifyNonRoot refuses what runAsNonRoot refuses, in a kubelet's words.
func verifyNonRoot(pod *corev1.Pod, c *corev1.Container, image Image) error {
	var nonRoot *bool
	var user *int64
	if s := pod.Spec.SecurityContext; s != nil {
		nonRoot, user = s.RunAsNonRoot, s.RunAsUser
	}
	if s := c.SecurityContext; s != nil {
		if s.RunAsNonRoot != nil {
			nonRoot = s.RunAsNonRoot
		}
		if s.RunAsUser != nil {
			user = s.RunAsUser
		}
	}
	switch {
	case nonRoot == nil || !*nonRoot:
		return nil
	case user != nil && *user == 0:
		return fmt.Errorf("container's runAsUser breaks non-root policy (pod: %q, container: %s)", podKey(pod), c.Name)
	case user == nil && image.User == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", podKey(pod), c.Name)
	}
	return nil
}

// podKey is how a kubelet names a pod in messages.
func podKey(pod *corev1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
}

// ownership is who owns a volume's files on a real node, and who reads them.
type ownership struct {
	fsGroup *int64
	fsUser  *int64 // owner of service account tokens: the user that all containers share, if they do
	readers []identity
}

func podOwnership(pod *corev1.Pod, images func(string) (Image, bool)) ownership {
	var o ownership
	if s := pod.Spec.SecurityContext; s != nil {
		o.fsGroup = s.FSGroup
	}
	shared, first := true, true
	var common *int64
	each := func(c *corev1.Container) {
		image, _ := images(c.Image)
		o.readers = append(o.readers, containerIdentity(pod, c, image))
		var user *int64
		if s := pod.Spec.SecurityContext; s != nil {
			user = s.RunAsUser
		}
		if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
			user = s.RunAsUser
		}
		if first {
			common, first = user, false
		} else if user == nil || common == nil || *user != *common {
			shared = false
		}
	}
	for i := range pod.Spec.InitContainers {
		each(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		each(&pod.Spec.Containers[i])
	}
	if shared && common != nil {
		o.fsUser = common
	}
	return o
}

// token is the mode of a service account token for the volume's default mode, and whether fsUser owns it.
func (o ownership) token(mode os.FileMode) os.FileMode {
	if o.fsUser != nil || o.fsGroup != nil {
		return 0o600
	}
	return mode
}

// effective is the mode that gives the mapped user the access that it would have on a real node to a file with this
// mode, owned by root (a token: by fsUser where there is one) and, where set, by fsGroup, which may read it.
func (o ownership) effective(mode os.FileMode, token bool) os.FileMode {
	var owner, group int64
	if o.fsGroup != nil {
		group = *o.fsGroup
		mode |= 0o440
	}
	if token && o.fsUser != nil {
		owner = *o.fsUser
	}
	bits := os.FileMode(0o7)
	for _, r := range o.readers {
		var class os.FileMode
		switch {
		case r.uid == 0:
			class = 0o7 // root may do anything
		case r.uid == owner:
			class = mode >> 6 & 0o7
		case o.fsGroup != nil || r.gid == group: // fsGroup is a supplementary group of every container
			class = mode >> 3 & 0o7
		default:
			class = mode & 0o7
		}
		bits &= class
	}
	if bits == 0o7 {
		bits = mode>>6&0o7 | 0o4
	}
	return mode&^0o700 | bits<<6
}
