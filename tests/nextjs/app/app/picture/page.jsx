import Image from 'next/image';

export default function Picture() {
  return <Image src="/picture.png" alt="a gradient" width={320} height={200} />;
}
